/* The same linear map at every row, and a product over rows for the gradient at its weights: the fast twin of
 * pointwise.py. Rows are spread over threads (OpenMP); sums over chunks of rows are left to the caller, so results do
 * not depend on the number of threads. */

#include <stdlib.h>
#include <string.h>

#include "versions.h"

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

#define BODY "pointwise_body.h"
#include "each_version.h"

static const struct {
    long lanes;
    long (*workspace)(const struct pointwise *);
    void (*forward)(const struct pointwise *, long, long, float *);
    void (*outer)(const struct outer *, long);
} VERSIONS[] = {
    [PLAIN] = {4, workspace_plain, forward_plain, outer_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {8, workspace_avx2, forward_avx2, outer_avx2},
    [AVX512] = {16, workspace_avx512, forward_avx512, outer_avx512},
#endif
};

int dgno_pointwise_best_version(void) { return best_version(); }
const char *dgno_pointwise_version_name(int version) { return version_name(version); }

/* Outputs in a vector: matrices are packed by it. */
long dgno_pointwise_lanes(int version) { return VERSIONS[version].lanes; }

/* Returns 0, or 1 when there was no memory for a thread's workspace. */
int dgno_pointwise_forward(const struct pointwise *s, int version, int threads) {
    const size_t size = ((size_t)VERSIONS[version].workspace(s) * sizeof(float) + 63) / 64 * 64;
    int failed = 0;
    (void)threads; /* unused without OpenMP */
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        float *memory = aligned_alloc(64, size);
        failed = !memory;
        if (memory) memset(memory, 0, size);
#pragma omp for schedule(static)
        for (long first = 0; first < s->rows; first += ROWS)
            if (memory) VERSIONS[version].forward(s, first, s->rows - first < ROWS ? s->rows - first : ROWS, memory);
        free(memory);
    }
    return failed;
}

int dgno_pointwise_outer(const struct outer *s, int version, int threads) {
    (void)threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long chunk = 0; chunk < (s->rows + s->chunk - 1) / s->chunk; chunk++) VERSIONS[version].outer(s, chunk);
    return 0;
}
