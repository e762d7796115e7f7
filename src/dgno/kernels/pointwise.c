/* The same linear map at every row, and a product over rows for the gradient at its weights: the fast twin of
 * pointwise.py; and the merge of two scales, that of merge.py. Rows are spread over threads (OpenMP); sums over chunks
 * of rows are left to the caller, so results do not depend on the number of threads. */

#include "tasks.h"
#include "versions.h"

#include "packing.h"

#define LOG2_E 1.44269504088896341f
#define ROWS 96   /* of a task of the map */
#define BLOCK 128 /* rows over which a product keeps both factors in the cache */

struct pointwise {
    long rows, inputs, outputs;
    const float *x;      /* (rows, inputs) */
    const float *packed; /* (vectors, inputs, lanes) */
    const float *bias;   /* (vectors x lanes), or null */
    float *out;          /* (rows, outputs) */
};

struct outer {
    long rows, left, right, chunk; /* rows of a chunk */
    const float *a, *b;            /* (rows, left), (rows, right) */
    float *out;                    /* (chunks, left, right): a^T b over each chunk */
};

struct merge {
    long batch, height, width, channels; /* of the coarse map, which has 4 times the channels */
    long is_half, parts;               /* is the coarse map bfloat16? see products.h */
    const float *coarse;                 /* (batch, height, width, channels, 2, 2) */
    const float *fine;                   /* (batch, 2 height, 2 width, channels) */
    const float *packed;                 /* (vectors, 2 channels, lanes), or as bfloat16 */
    float *out;                          /* (batch, 2 height, 2 width, channels) */
};

#define BODY "pointwise_body.h"
#include "each_version.h"

static const struct {
    long (*workspace)(const struct pointwise *);
    void (*forward)(const struct pointwise *, long, long, float *);
    void (*outer)(const struct outer *, long);
    long (*merge_workspace)(const struct merge *);
    void (*merge)(const struct merge *, long, long, long, long, float *);
} VERSIONS[] = {
    [PLAIN] = {workspace_plain, forward_plain, outer_plain, merge_workspace_plain, merge_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {workspace_avx2, forward_avx2, outer_avx2, merge_workspace_avx2, merge_avx2},
    [AVX512] = {workspace_avx512, forward_avx512, outer_avx512, merge_workspace_avx512, merge_avx512},
#endif
};

static void forward_rows(const void *arguments, int version, long i, float *memory) {
    const struct pointwise *s = arguments;
    const long left = s->rows - i * ROWS;
    VERSIONS[version].forward(s, i * ROWS, left < ROWS ? left : ROWS, memory);
}

static void outer_chunk(const void *arguments, int version, long i, float *memory) {
    (void)memory;
    VERSIONS[version].outer(arguments, i);
}

static void merge_row(const void *arguments, int version, long i, float *memory) {
    const struct merge *s = arguments;
    const struct tile t = tile_at(i, s->height, s->width, 1, ROWS / 2);
    const long left = s->width - t.left;
    VERSIONS[version].merge(s, t.image, t.top, t.left, left < ROWS / 2 ? left : ROWS / 2, memory);
}

/* Each returns 0, or 1 when there was no memory for a thread's workspace. */

int dgno_pointwise_forward(const struct pointwise *s, int version, int threads) {
    return run_tasks(forward_rows, s, version, (s->rows + ROWS - 1) / ROWS, VERSIONS[version].workspace(s), threads);
}

int dgno_pointwise_outer(const struct outer *s, int version, int threads) {
    return run_tasks(outer_chunk, s, version, (s->rows + s->chunk - 1) / s->chunk, 1, threads);
}

int dgno_merge(const struct merge *s, int version, int threads) {
    return run_tasks(merge_row, s, version, tiles_of(s->batch, s->height, s->width, 1, ROWS / 2),
        VERSIONS[version].merge_workspace(s), threads);
}
