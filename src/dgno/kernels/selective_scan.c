/* The selective scan in plain C, forward and backward: the fast twin of selective_scan_loop in selective_scan.py.
 *
 *     h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,      y_t = C_t . h_t + D u_t
 *
 * Sequences are spread over threads (OpenMP) and cut into spans of channels. One source, selective_scan_body.h, is
 * compiled for several instruction sets; the best one that the processor has is chosen when the library is first used.
 * The backward pass keeps the state only before every SEGMENT-th token and computes the rest again.
 *
 * Sums over channels are taken per CHUNK channels and sums over sequences are left to the caller, so results do not
 * depend on the number of threads. No -ffast-math: it can switch denormals off for the whole process. */


#include "tasks.h"
#include "versions.h"

#define CHUNK 128     /* channels over which one task sums gB and gC */
#define SEGMENT 16    /* tokens between two stored states */
#define SPAN 128      /* channels that one task walks together, at most; a multiple of every vector's length */
#define PIECE 64      /* tokens of one vector of channels before the next vector's turn, where no states are stored */
#define MAX_STATES 64 /* states per channel */

struct scan {
    long batch, length, channels, states, segments;
    const float *u, *delta;          /* (batch, length, channels) */
    const float *A;                  /* (states, channels): transposed, so that channels are neighbours */
    const float *B, *C;              /* (batch, length, states) */
    const float *D;                  /* (channels) */
    float *y;                        /* (batch, length, channels) */
    float *starts;                   /* (batch, segments, states, channels), or null */
    const float *gy;                 /* (batch, length, channels) */
    float *gu, *gdelta;              /* (batch, length, channels) */
    float *gA;                       /* (batch, states, channels): to be summed over the batch */
    float *gB, *gC;                  /* (chunks, batch, length, states): to be summed over the chunks */
    float *gD;                       /* (batch, channels): to be summed over the batch */
};

#define BODY "selective_scan_body.h"
#include "each_version.h"

static const struct {
    size_t workspace;
    void (*forward)(const struct scan *, long, long, long);
    void (*backward)(const struct scan *, long, long, void *);
    void (*exponentials)(const float *, float *, long, long);
} VERSIONS[] = {
    [PLAIN] = {sizeof(struct workspace_plain), forward_plain, backward_plain, exponentials_plain},
#ifdef HAVE_X86_VERSIONS
    [AVX2] = {sizeof(struct workspace_avx2), forward_avx2, backward_avx2, exponentials_avx2},
    [AVX512] = {sizeof(struct workspace_avx512), forward_avx512, backward_avx512, exponentials_avx512},
#endif
};

int dgno_scan_max_states(void) { return MAX_STATES; }
int dgno_scan_segment(void) { return SEGMENT; }
int dgno_scan_chunk(void) { return CHUNK; }

/* Tasks are sequences by spans of channels: wide ones, that walk memory in order, as long as every thread gets one.
 * Returns 0. */
int dgno_scan_forward(const struct scan *s, int version, int threads) {
    const long lanes = VERSION_LANES[version], D = s->channels;
    long span = SPAN;
    while (span > lanes && s->batch * ((D + span - 1) / span) < threads) span /= 2;
    const long spans = (D + span - 1) / span;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long task = 0; task < s->batch * spans; task++) {
        const long d = task % spans * span;
        VERSIONS[version].forward(s, task / spans, d, d + span < D ? d + span : D);
    }
    return 0;
}

/* For benchmarks: y = 2^x at n numbers in the first cache level, `repeats` times. */
void dgno_scan_exponentials(const float *x, float *y, long n, long repeats, int version) {
    VERSIONS[version].exponentials(x, y, n, repeats);
}

static void backward_chunk(const void *arguments, int version, long i, float *memory) {
    const struct scan *s = arguments;
    const long chunks = (s->channels + CHUNK - 1) / CHUNK;
    VERSIONS[version].backward(s, i / chunks, i % chunks * CHUNK, memory);
}

/* Returns 0, or 1 when there was no memory for a thread's workspace. */
int dgno_scan_backward(const struct scan *s, int version, int threads) {
    const long chunks = (s->channels + CHUNK - 1) / CHUNK, floats = (long)VERSIONS[version].workspace / 4;
    return run_tasks(backward_chunk, s, version, s->batch * chunks, floats, threads);
}
