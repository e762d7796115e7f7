/* One instruction set's version of the selective scan: included by selective_scan.c once per set.
 *
 * The includer defines
 *   NAME(x)   the name of x in this version
 *   TARGET    the attribute that selects the instruction set
 *   LANES     the channels in a vector
 *
 * A vector holds LANES neighbouring channels; the compiler lowers it to what the target has. Tokens are walked in
 * order; the states of LANES channels stay in registers or in the first cache level. The log2(e) of exp(x) = 2^(x log2 e)
 * is multiplied into A once. */

#define VF NAME(vector)
#define VI NAME(integers)
#include "vectors.h"

/* y of LANES channels of one sequence; if `starts` is given, the state before every SEGMENT-th token goes there. */
static inline __attribute__((always_inline)) TARGET void NAME(forward_lanes)(
        const struct scan *s, long b, long d0, int lanes, long states) {
    const long L = s->length, D = s->channels, N = states;
    VF A[MAX_STATES], h[MAX_STATES];
    for (long n = 0; n < N; n++) {
        A[n] = NAME(load)(s->A + n * D + d0, lanes) * LOG2_E;
        h[n] = (VF){0};
    }
    const VF skip = NAME(load)(s->D + d0, lanes);
    for (long t = 0; t < L; t++) {
        const long row = b * L + t;
        if (s->starts && t % SEGMENT == 0)
            for (long n = 0; n < N; n++)
                NAME(store)(s->starts + ((b * s->segments + t / SEGMENT) * N + n) * D + d0, h[n], lanes);
        const VF u = NAME(load)(s->u + row * D + d0, lanes);
        const VF delta = NAME(load)(s->delta + row * D + d0, lanes);
        const float *B = s->B + row * N, *C = s->C + row * N;
        const VF du = delta * u;
        VF y = skip * u;
        for (long n = 0; n < N; n++) {
            h[n] = NAME(exp2)(delta * A[n]) * h[n] + du * B[n];
            y += h[n] * C[n];
        }
        NAME(store)(s->y + row * D + d0, y, lanes);
    }
}

TARGET static void NAME(forward)(const struct scan *s, long b, long d0) {
    const int lanes = (int)(s->channels - d0 < LANES ? s->channels - d0 : LANES);
    if (lanes == LANES && s->states == 8)
        NAME(forward_lanes)(s, b, d0, LANES, 8);
    else if (lanes == LANES && s->states == 16)
        NAME(forward_lanes)(s, b, d0, LANES, 16);
    else
        NAME(forward_lanes)(s, b, d0, lanes, s->states);
}

struct NAME(workspace) { /* one segment of LANES channels */
    VF before[SEGMENT * MAX_STATES], decay[SEGMENT * MAX_STATES], gB[SEGMENT * MAX_STATES], gC[SEGMENT * MAX_STATES];
};

/* Gradients of LANES channels of one sequence over one segment, walked backwards. The states of the segment are
 * computed again from its stored start. gB and gC are summed over channels: their vectors collect in `sums`. */
static inline __attribute__((always_inline)) TARGET void NAME(backward_segment)(
        const struct scan *s, long b, long d0, long segment, int lanes, long states,
        const VF *A, VF *gh, VF *gA, VF *gD, struct NAME(workspace) *w) {
    const long L = s->length, D = s->channels, N = states;
    const long first = segment * SEGMENT, last = first + SEGMENT < L ? first + SEGMENT : L;
    const VF skip = NAME(load)(s->D + d0, lanes);

    VF h[MAX_STATES];
    for (long n = 0; n < N; n++)
        h[n] = NAME(load)(s->starts + ((b * s->segments + segment) * N + n) * D + d0, lanes);
    for (long t = first; t < last; t++) {
        const long row = b * L + t, i = (t - first) * N;
        const VF delta = NAME(load)(s->delta + row * D + d0, lanes);
        const VF du = delta * NAME(load)(s->u + row * D + d0, lanes);
        const float *B = s->B + row * N;
        for (long n = 0; n < N; n++) {
            const VF decay = NAME(exp2)(delta * A[n] * LOG2_E);
            w->before[i + n] = h[n];
            w->decay[i + n] = decay;
            h[n] = decay * h[n] + du * B[n];
        }
    }
    for (long t = last - 1; t >= first; t--) {
        const long row = b * L + t, i = (t - first) * N;
        const VF u = NAME(load)(s->u + row * D + d0, lanes);
        const VF delta = NAME(load)(s->delta + row * D + d0, lanes);
        const VF gy = NAME(load)(s->gy + row * D + d0, lanes);
        const float *B = s->B + row * N, *C = s->C + row * N;
        const VF du = delta * u;
        VF gdu = {0}, gdelta = {0};
        for (long n = 0; n < N; n++) {
            const VF carried = w->decay[i + n] * w->before[i + n]; /* exp(delta A) h_{t-1} */
            const VF g = gh[n] + gy * C[n];
            const VF gexponent = g * carried;                      /* gradient at delta A */
            w->gB[i + n] += g * du;
            w->gC[i + n] += gy * (carried + du * B[n]);
            gdu += g * B[n];
            gdelta += gexponent * A[n];
            gA[n] += gexponent * delta;
            gh[n] = g * w->decay[i + n];
        }
        NAME(store)(s->gu + row * D + d0, gdu * delta + gy * skip, lanes);
        NAME(store)(s->gdelta + row * D + d0, gdelta + gdu * u, lanes);
        *gD += gy * u;
    }
}

/* Gradients of the channels [d0, d0 + CHUNK) of one sequence. */
TARGET static void NAME(backward)(const struct scan *s, long b, long d0, void *memory) {
    struct NAME(workspace) *w = memory;
    const long L = s->length, D = s->channels, N = s->states;
    const long chunk = d0 / CHUNK, end = d0 + CHUNK < D ? d0 + CHUNK : D;
    VF A[CHUNK / LANES][MAX_STATES], gh[CHUNK / LANES][MAX_STATES], gA[CHUNK / LANES][MAX_STATES], gD[CHUNK / LANES];
    for (long d = d0, c = 0; d < end; d += LANES, c++) {
        const int lanes = (int)(end - d < LANES ? end - d : LANES);
        gD[c] = (VF){0};
        for (long n = 0; n < N; n++) {
            A[c][n] = NAME(load)(s->A + n * D + d, lanes);
            gh[c][n] = gA[c][n] = (VF){0};
        }
    }
    for (long segment = s->segments - 1; segment >= 0; segment--) {
        memset(w->gB, 0, (size_t)(SEGMENT * N) * sizeof(VF));
        memset(w->gC, 0, (size_t)(SEGMENT * N) * sizeof(VF));
        for (long d = d0, c = 0; d < end; d += LANES, c++) {
            const int lanes = (int)(end - d < LANES ? end - d : LANES);
            if (lanes == LANES && N == 8)
                NAME(backward_segment)(s, b, d, segment, LANES, 8, A[c], gh[c], gA[c], &gD[c], w);
            else
                NAME(backward_segment)(s, b, d, segment, lanes, N, A[c], gh[c], gA[c], &gD[c], w);
        }
        const long first = segment * SEGMENT, last = first + SEGMENT < L ? first + SEGMENT : L;
        float *gB = s->gB + ((chunk * s->batch + b) * L + first) * N, *gC = s->gC + ((chunk * s->batch + b) * L + first) * N;
        for (long i = 0; i < (last - first) * N; i++) {
            float sum_B = 0, sum_C = 0;
            for (int lane = 0; lane < LANES; lane++) {
                sum_B += w->gB[i][lane];
                sum_C += w->gC[i][lane];
            }
            gB[i] = sum_B;
            gC[i] = sum_C;
        }
    }
    for (long d = d0, c = 0; d < end; d += LANES, c++) {
        const int lanes = (int)(end - d < LANES ? end - d : LANES);
        NAME(store)(s->gD + b * D + d, gD[c], lanes);
        for (long n = 0; n < N; n++) NAME(store)(s->gA + (b * N + n) * D + d, gA[c][n], lanes);
    }
}

#undef VF
#undef VI
