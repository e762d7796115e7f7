/* Gated depth-wise 3x3 convolutions in plain C, forward and backward: the fast twin of depthwise.py.
 *
 *     gelu gate (no bias):      out = GELU(conv(x)[first half]) * conv(x)[second half]
 *     sigmoid gate (a bias):    out = x * sigmoid(conv(x) + bias)
 *
 * Maps are channels-last. Rows (forward) and strips of rows (backward) are spread over threads (OpenMP); sums over
 * strips are left to the caller, so results do not depend on the number of threads. */


#include "tasks.h"
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
    void (*forward)(const struct gate *, long, long, long);
    void (*backward)(const struct gate *, long, long, void *);
} VERSIONS[] = {
    [PLAIN] = {forward_plain, backward_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {forward_avx2, backward_avx2},
    [AVX512] = {forward_avx512, backward_avx512},
#endif
};

/* Rows in a strip of the backward pass, for maps of this width. */
int dgno_gate_strip_rows(long width, int version) {
    const long rows = STRIP_BYTES / (width * VERSION_LANES[version] * (long)sizeof(float)) - 2;
    return rows < 4 ? 4 : rows;
}

static long result_channels(const struct gate *s) { return s->bias ? s->channels : s->channels / 2; }

/* The first channel of block i: the last block ends at the last channel. */
static long block_start(long i, long lanes, long channels) {
    return (i + 1) * lanes <= channels ? i * lanes : channels - lanes;
}

static void forward_row(const void *arguments, int version, long row, float *memory) {
    const struct gate *s = arguments;
    const long lanes = VERSION_LANES[version], channels = result_channels(s);
    (void)memory;
    for (long i = 0; i * lanes < channels; i++)
        VERSIONS[version].forward(s, row / s->height, row % s->height, block_start(i, lanes, channels));
}

static void backward_strip(const void *arguments, int version, long strip, float *memory) {
    const struct gate *s = arguments;
    const long lanes = VERSION_LANES[version], channels = result_channels(s);
    for (long i = 0; i * lanes < channels; i++)
        VERSIONS[version].backward(s, strip, block_start(i, lanes, channels), memory);
}

/* Each returns 0, or 1 when there was no memory for a thread's workspace. */

int dgno_gate_forward(const struct gate *s, int version, int threads) {
    return run_tasks(forward_row, s, version, s->batch * s->height, 1, threads);
}

int dgno_gate_backward(const struct gate *s, int version, int threads) {
    const long floats = 2 * (s->strip_rows + 2) * s->width * VERSION_LANES[version];
    return run_tasks(backward_strip, s, version, s->batch * s->strips, floats, threads);
}
