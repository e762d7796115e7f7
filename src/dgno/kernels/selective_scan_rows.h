/* The innermost loop of the selective scan on rows that lie anywhere: included after vectors.h, once per version.
 *
 * A row holds what belongs to one token, its channels or states side by side; rows may be farther apart than they are
 * long. So the loop runs as well over a whole sequence as over a few tokens that another kernel has just computed. */

#ifndef SCAN_ROWS
#define SCAN_ROWS
#define LOG2_E 1.44269504088896341f
#define SCAN_STEP_LIMIT 1e15f /* a longer step forgets no more; times A, exp2_finite still holds */

struct scan_rows {
    const float *u, *delta, *B, *C;
    float *y;
    long u_stride, delta_stride, B_stride, C_stride, y_stride; /* floats from one token's row to the next one's */
};
#endif

/* y of `tokens` tokens for the `lanes` channels from the rows' first column on.
 *
 * A : (states) of vectors, already multiplied by log2(e), as exp(x) = 2^(x log2(e))
 * skip : D of these channels
 * h : (states) of vectors, the state before the first token; the state after the last one is left there
 * ahead : tokens that follow in the same arrays; they are fetched into the cache in advance */
static inline __attribute__((always_inline)) TARGET void NAME(scan_rows)(
        struct scan_rows r, long tokens, long ahead, const VF *A, VF skip, VF *h, int lanes, long states) {
    for (long t = 0; t < tokens; t++) {
        const VF u = NAME(load)(r.u, lanes), delta = NAME(load)(r.delta, lanes), du = delta * u;
        const VF step = NAME(least)(delta, SCAN_STEP_LIMIT);
        if (t < ahead) {
            __builtin_prefetch(r.u + tokens * r.u_stride);
            __builtin_prefetch(r.delta + tokens * r.delta_stride);
            __builtin_prefetch(r.y + tokens * r.y_stride, 1);
        }
        VF y = skip * u;
        for (long n = 0; n < states; n++) {
            h[n] = NAME(exp2_finite)(step * A[n]) * h[n] + du * r.B[n];
            y += h[n] * r.C[n];
        }
        NAME(store)(r.y, y, lanes);
        r.u += r.u_stride, r.delta += r.delta_stride, r.B += r.B_stride, r.C += r.C_stride, r.y += r.y_stride;
    }
}
