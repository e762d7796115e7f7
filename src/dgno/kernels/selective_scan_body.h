/* One instruction set's version of the selective scan: included by selective_scan.c once per set.
 *
 * The includer defines
 *   NAME(x)   the name of x in this version
 *   TARGET    the attribute that selects the instruction set
 *   LANES     the channels in a vector
 *
 * A vector holds LANES neighbouring channels; the compiler lowers it to what the target has. The sequence is walked in
 * pieces of a few tokens, and in every piece one vector of channels after the other, so that memory is read and written
 * in the order in which it lies; meanwhile the states wait in the first cache level. */

#define VF NAME(vector)
#define VI NAME(integers)
#include "vectors.h"

#include "selective_scan_rows.h"

#define VECTORS (SPAN / LANES)

/* The channels [d, d + lanes) of the vector that starts at channel d, in a row of D channels. */
#define LANES_AT(d, D) ((int)((D) - (d) < LANES ? (D) - (d) : LANES))

/* The rows of one sequence from token t and channel d on. */
static inline __attribute__((always_inline)) TARGET struct scan_rows NAME(rows_at)(
        const struct scan *s, long b, long t, long d) {
    const long D = s->channels, N = s->states, row = b * s->length + t;
    return (struct scan_rows){s->u + row * D + d, s->delta + row * D + d, s->B + row * N, s->C + row * N,
                              s->y + row * D + d, D, D, N, N, D};
}

static inline __attribute__((always_inline)) TARGET void NAME(load_decay)(
        const struct scan *s, long d, int lanes, VF *A) {
    for (long n = 0; n < s->states; n++) A[n] = NAME(load)(s->A + n * s->channels + d, lanes) * LOG2_E;
}

/* A piece of one vector of channels; loops over the states are unrolled where their number is one of the usual ones. */
TARGET static void NAME(forward_piece)(
        struct scan_rows r, long tokens, long ahead, const VF *A, VF skip, VF *h, int lanes, long states) {
    if (lanes == LANES && states == 8) {
        VF own[8], a[8]; /* in registers while the tokens are walked */
        memcpy(own, h, sizeof own), memcpy(a, A, sizeof a);
        NAME(scan_rows)(r, tokens, ahead, a, skip, own, LANES, 8);
        memcpy(h, own, sizeof own);
    } else if (lanes == LANES && states == 16)
        NAME(scan_rows)(r, tokens, ahead, A, skip, h, LANES, 16);
    else
        NAME(scan_rows)(r, tokens, ahead, A, skip, h, lanes, states);
}

/* y of the channels [d0, end), at most SPAN, of one sequence; if `starts` is given, the state before every SEGMENT-th
 * token goes there. */
TARGET static void NAME(forward)(const struct scan *s, long b, long d0, long end) {
    const long L = s->length, D = s->channels, N = s->states, piece = s->starts ? SEGMENT : PIECE;
    VF A[VECTORS][MAX_STATES], h[VECTORS][MAX_STATES], skip[VECTORS];
    for (long d = d0, c = 0; d < end; d += LANES, c++) {
        skip[c] = NAME(load)(s->D + d, LANES_AT(d, D));
        NAME(load_decay)(s, d, LANES_AT(d, D), A[c]);
        for (long n = 0; n < N; n++) h[c][n] = (VF){0};
    }
    for (long t = 0; t < L; t += piece) {
        const long tokens = t + piece < L ? piece : L - t, ahead = L - t - tokens;
        for (long d = d0, c = 0; d < end; d += LANES, c++) {
            if (s->starts)
                for (long n = 0; n < N; n++)
                    NAME(store)(s->starts + ((b * s->segments + t / SEGMENT) * N + n) * D + d, h[c][n], LANES_AT(d, D));
            NAME(forward_piece)(NAME(rows_at)(s, b, t, d), tokens, ahead, A[c], skip[c], h[c], LANES_AT(d, D), N);
        }
    }
}

struct NAME(workspace) { /* one segment of LANES channels, and sums over the channels of the span */
    VF h[(SEGMENT + 1) * MAX_STATES], decay[SEGMENT * MAX_STATES];
    float gBC[SEGMENT][2 * MAX_STATES + LANES];
};

/* The states of a segment again from its stored start: h before every token and after the last one; and the decays. */
static inline __attribute__((always_inline)) TARGET void NAME(segment_states)(
        struct scan_rows r, long tokens, const float *start, long start_stride, const VF *A, int lanes, long states,
        struct NAME(workspace) *w) {
    VF h[MAX_STATES];
    for (long n = 0; n < states; n++) w->h[n] = h[n] = NAME(load)(start + n * start_stride, lanes);
    for (long t = 0; t < tokens; t++) {
        const VF delta = NAME(load)(r.delta, lanes), du = delta * NAME(load)(r.u, lanes);
        const VF step = NAME(least)(delta, SCAN_STEP_LIMIT);
        for (long n = 0; n < states; n++) {
            const VF decay = NAME(exp2_finite)(step * A[n]);
            h[n] = decay * h[n] + du * r.B[n];
            w->decay[t * states + n] = decay;
            w->h[(t + 1) * states + n] = h[n];
        }
        r.u += r.u_stride, r.delta += r.delta_stride, r.B += r.B_stride;
    }
}

/* Gradients of LANES channels of one sequence over one segment, walked backwards. */
static inline __attribute__((always_inline)) TARGET void NAME(backward_segment)(
        const struct scan *s, long b, long d0, long segment, int lanes, long states,
        const VF *A, VF *gh, VF *gA, VF *gD, struct NAME(workspace) *w) {
    const long L = s->length, D = s->channels, N = states;
    const long first = segment * SEGMENT, tokens = first + SEGMENT < L ? SEGMENT : L - first;
    const VF skip = NAME(load)(s->D + d0, lanes);
    const float *start = s->starts + (b * s->segments + segment) * N * D + d0;
    NAME(segment_states)(NAME(rows_at)(s, b, first, d0), tokens, start, D, A, lanes, N, w);
    for (long t = tokens - 1; t >= 0; t--) {
        const long row = b * L + first + t;
        const VF u = NAME(load)(s->u + row * D + d0, lanes), delta = NAME(load)(s->delta + row * D + d0, lanes);
        const VF gy = NAME(load)(s->gy + row * D + d0, lanes), du = delta * u;
        const float *B = s->B + row * N, *C = s->C + row * N;
        const VF *h = w->h + t * N, *decay = w->decay + t * N;
        VF gdu = {0}, gstep = {0}, gBC[2 * MAX_STATES + LANES];
        if (first) { /* the same token of the segment before, which comes next */
            __builtin_prefetch(s->u + (row - SEGMENT) * D + d0);
            __builtin_prefetch(s->delta + (row - SEGMENT) * D + d0);
            __builtin_prefetch(s->gy + (row - SEGMENT) * D + d0);
            __builtin_prefetch(s->gu + (row - SEGMENT) * D + d0, 1);
            __builtin_prefetch(s->gdelta + (row - SEGMENT) * D + d0, 1);
            if (t < N) __builtin_prefetch(start + (t - N) * D);
        }
        for (long n = 0; n < N; n++) {
            const VF g = gh[n] + gy * C[n];
            gBC[n] = g * du;
            gBC[N + n] = gy * h[N + n];
            gdu += g * B[n];
            gh[n] = g * decay[n];
            const VF gexponent = gh[n] * h[n]; /* gradient at delta A */
            gstep += gexponent * A[n];
            gA[n] += gexponent * delta;
        }
        NAME(store)(s->gu + row * D + d0, gdu * delta + gy * skip, lanes);
        NAME(store)(s->gdelta + row * D + d0, gstep * (1 / LOG2_E) + gdu * u, lanes);
        *gD += gy * u;
        for (long i = 2 * N; i % LANES; i++) gBC[i] = (VF){0};
        for (long i = 0; i < 2 * N; i += LANES) {
            const VF sum = NAME(load)(w->gBC[t] + i, LANES) + NAME(sums)(gBC + i);
            NAME(store)(w->gBC[t] + i, sum, LANES);
        }
    }
}

/* Gradients of the channels [d0, d0 + CHUNK) of one sequence; memory is aligned to vectors. */
TARGET static void NAME(backward)(const struct scan *s, long b, long d0, void *memory) {
    struct NAME(workspace) *w = memory;
    const long L = s->length, D = s->channels, N = s->states;
    const long chunk = d0 / CHUNK, end = d0 + CHUNK < D ? d0 + CHUNK : D;
    VF A[CHUNK / LANES][MAX_STATES], gh[CHUNK / LANES][MAX_STATES], gA[CHUNK / LANES][MAX_STATES], gD[CHUNK / LANES];
    for (long d = d0, c = 0; d < end; d += LANES, c++) {
        gD[c] = (VF){0};
        NAME(load_decay)(s, d, LANES_AT(d, end), A[c]);
        for (long n = 0; n < N; n++) gh[c][n] = gA[c][n] = (VF){0};
    }
    for (long segment = s->segments - 1; segment >= 0; segment--) {
        memset(w->gBC, 0, sizeof w->gBC);
        for (long d = d0, c = 0; d < end; d += LANES, c++) {
            const int lanes = LANES_AT(d, end);
            if (lanes == LANES && N == 8)
                NAME(backward_segment)(s, b, d, segment, LANES, 8, A[c], gh[c], gA[c], &gD[c], w);
            else
                NAME(backward_segment)(s, b, d, segment, lanes, N, A[c], gh[c], gA[c], &gD[c], w);
        }
        const long first = segment * SEGMENT, tokens = first + SEGMENT < L ? SEGMENT : L - first;
        for (long t = 0; t < tokens; t++) {
            const long row = (chunk * s->batch + b) * L + first + t;
            memcpy(s->gB + row * N, w->gBC[t], (size_t)N * sizeof(float));
            memcpy(s->gC + row * N, w->gBC[t] + N, (size_t)N * sizeof(float));
        }
    }
    for (long d = d0, c = 0; d < end; d += LANES, c++) {
        NAME(store)(s->gD + b * D + d, gD[c], LANES_AT(d, end));
        for (long n = 0; n < N; n++) NAME(store)(s->gA + (b * N + n) * D + d, gA[c][n], LANES_AT(d, end));
    }
}

/* y = 2^x at n numbers, a multiple of LANES, `repeats` times: how fast can exponentials be at all? */
TARGET static void NAME(exponentials)(const float *x, float *y, long n, long repeats) {
    for (long repeat = 0; repeat < repeats; repeat++)
        for (long i = 0; i < n; i += LANES) NAME(store)(y + i, NAME(exp2_finite)(NAME(load)(x + i, LANES)), LANES);
}

#undef LANES_AT
#undef VECTORS
#undef VF
#undef VI
