/* The gated feed-forward network with its norm and its residual: the fast twin of feed_forward.py, which says what is
 * computed. Its gradient starts from the same input and computes again what it needs.
 *
 * Maps are channels-last. Tiles of columns and strips of rows are spread over threads (OpenMP). Of many hidden channels
 * a chunk at a time is computed for all rows of a tile and added to the result, so that neither their matrices nor what
 * lies between input and output leave the cache. Every pixel is computed alike in every tile, so results depend
 * neither on the number of threads nor on the tiles. */

#include <math.h>

#include "tasks.h"
#include "versions.h"

#include "packing.h"

#define LOG2_E 1.44269504088896341f

struct feed_forward {
    long batch, height, width, channels, hidden;
    long tile, strip;                     /* columns and rows of a task */
    long parts, chunk;                    /* forward: of the matrices, see products.h; hidden channels at a time */
    long group, sum_size;                 /* tiles of a task of the gradient, and its floats of sums */
    const float *x;                       /* (batch, height, width, channels) */
    const float *norm_weight, *norm_bias; /* (channels) */
    const float *project_in;              /* packed: two halves, each padded to whole vectors; forward one
                                             matrix after the other, of both halves of a chunk */
    const float *taps;                    /* (9, two padded halves), raster order; forward of a chunk */
    const float *project_out;             /* packed; forward of a chunk */
    float *out;                           /* like x */

    /* for the gradient */
    const float *gout;             /* like x: the gradient at the result */
    const float *project_in_back;  /* packed: the matrices transposed */
    const float *project_out_back;
    float *gx;                     /* like x */
    float *sums;                   /* (tasks, sum_size), side by side the gradients at norm_weight, norm_bias,
                                      project_in (2 hidden, channels), taps as they are,
                                      project_out (hidden, channels) */
};

#define BODY "feed_forward_body.h"
#include "each_version.h"

static const struct {
    long (*workspace)(const struct feed_forward *);
    void (*forward)(const struct feed_forward *, long, long, long, long, float *);
    long (*gradient_workspace)(const struct feed_forward *);
    void (*backward)(const struct feed_forward *, const struct tile *, float *, float *);
} VERSIONS[] = {
    [PLAIN] = {workspace_plain, forward_plain, gradient_workspace_plain, backward_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {workspace_avx2, forward_avx2, gradient_workspace_avx2, backward_avx2},
    [AVX512] = {workspace_avx512, forward_avx512, gradient_workspace_avx512, backward_avx512},
#endif
};

static void forward_tile(const void *arguments, int version, long i, float *memory) {
    const struct feed_forward *s = arguments;
    const struct tile t = tile_at(i, s->height, s->width, s->strip, s->tile);
    VERSIONS[version].forward(s, t.image, t.top, t.bottom, t.left, memory);
}

static long tiles(const struct feed_forward *s) {
    return tiles_of(s->batch, s->height, s->width, s->strip, s->tile);
}

static void backward_group(const void *arguments, int version, long i, float *memory) {
    const struct feed_forward *s = arguments;
    const long all = tiles(s), end = (i + 1) * s->group < all ? (i + 1) * s->group : all;
    float *sums = s->sums + i * s->sum_size;
    memset(sums, 0, (size_t)s->sum_size * sizeof(float));
    for (long j = i * s->group; j < end; j++) {
        const struct tile t = tile_at(j, s->height, s->width, s->strip, s->tile);
        VERSIONS[version].backward(s, &t, sums, memory);
    }
}

/* Each returns 0, or 1 when there was no memory for a thread's workspace. */

int dgno_feed_forward_forward(const struct feed_forward *s, int version, int threads) {
    return run_tasks(forward_tile, s, version, tiles(s), VERSIONS[version].workspace(s), threads);
}

int dgno_feed_forward_backward(const struct feed_forward *s, int version, int threads) {
    const long tasks = (tiles(s) + s->group - 1) / s->group;
    return run_tasks(backward_group, s, version, tasks, VERSIONS[version].gradient_workspace(s), threads);
}
