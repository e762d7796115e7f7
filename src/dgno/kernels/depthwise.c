/* Gated depth-wise 3x3 convolutions in plain C, forward and backward: the fast twin of depthwise.py.
 *
 *     gelu gate (no bias):      out = GELU(conv(x)[first half]) * conv(x)[second half]
 *     sigmoid gate (a bias):    out = x * sigmoid(conv(x) + bias)
 *
 * Maps are channels-last. Rows (forward) and strips of rows (backward) are spread over threads (OpenMP); sums over strips
 * are left to the caller, so results do not depend on the number of threads. */

#include <stdlib.h>
#include <string.h>

#include "versions.h"

#define LOG2_E 1.44269504088896341f
#define STRIP_BYTES 393216 /* of one buffer of gradients: two fit the second cache level */

struct gate {
    long batch, height, width, channels; /* of x */
    long strip_rows, strips;             /* rows in a strip, strips in an image */
    const float *x;                      /* (batch, height, width, channels) */
    const float *weight;                 /* (9, channels): taps in raster order */
    const float *bias;                   /* (channels), or null: the gelu gate */
    float *out;                          /* (batch, height, width, channels or half of them) */
    const float *gout;
    float *gx;
    float *gweight;                      /* (batch strips, 9, channels): to be summed over the strips */
    float *gbias;                        /* (batch strips, channels), or null */
};

#define BODY "depthwise_body.h"
#include "each_version.h"

static const struct {
    long lanes;
    void (*forward)(const struct gate *, long, long, long);
    void (*backward)(const struct gate *, long, long, void *);
} VERSIONS[] = {
    [PLAIN] = {4, forward_plain, backward_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {8, forward_avx2, backward_avx2},
    [AVX512] = {16, forward_avx512, backward_avx512},
#endif
};

int dgno_gate_best_version(void) { return best_version(); }
const char *dgno_gate_version_name(int version) { return version_name(version); }

/* The fewest result channels that a version can work on: one vector of them. */
long dgno_gate_lanes(int version) { return VERSIONS[version].lanes; }

/* Rows in a strip of the backward pass, for maps of this width. */
long dgno_gate_strip_rows(long width, int version) {
    const long rows = STRIP_BYTES / (width * VERSIONS[version].lanes * (long)sizeof(float)) - 2;
    return rows < 4 ? 4 : rows;
}

static long result_channels(const struct gate *s) { return s->bias ? s->channels : s->channels / 2; }

/* The first channel of block i: the last block ends at the last channel. */
static long block_start(long i, long lanes, long channels) {
    return (i + 1) * lanes <= channels ? i * lanes : channels - lanes;
}

void dgno_gate_forward(const struct gate *s, int version, int threads) {
    const long lanes = VERSIONS[version].lanes, channels = result_channels(s), blocks = (channels + lanes - 1) / lanes;
    (void)threads; /* unused without OpenMP */
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long row = 0; row < s->batch * s->height; row++)
        for (long i = 0; i < blocks; i++)
            VERSIONS[version].forward(s, row / s->height, row % s->height, block_start(i, lanes, channels));
}

/* Returns 0, or 1 when there was no memory for a thread's workspace. */
int dgno_gate_backward(const struct gate *s, int version, int threads) {
    const long lanes = VERSIONS[version].lanes, channels = result_channels(s), blocks = (channels + lanes - 1) / lanes;
    const size_t size = 2 * (size_t)((s->strip_rows + 2) * s->width * lanes) * sizeof(float);
    int failed = 0;
    (void)threads;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        void *workspace = aligned_alloc(64, (size + 63) / 64 * 64);
        failed = !workspace;
#pragma omp for schedule(static)
        for (long strip = 0; strip < s->batch * s->strips; strip++)
            for (long i = 0; i < blocks; i++)
                if (workspace) VERSIONS[version].backward(s, strip, block_start(i, lanes, channels), workspace);
        free(workspace);
    }
    return failed;
}
