/* One instruction set's version of the linear map at every row, and of the gradient at its weights: included by
 * pointwise.c once per set, which defines NAME, TARGET and LANES. */

#define VF NAME(vector)
#define VI NAME(integers)
#include "vectors.h"
#include "products.h"

/* Rows [first, first + count) of the result: whole tiles from and to where they lie, the others through the buffers. */
static TARGET void NAME(forward)(const struct pointwise *s, long first, long count, float *memory) {
    const long padded = PADDED(s->outputs), whole = padded == s->outputs ? count / TILE_ROWS * TILE_ROWS : 0,
               rest = count - whole;
    const struct matrix m = {s->inputs, padded / LANES, s->packed, s->bias, 0};
    const float *x = s->x + first * s->inputs;
    float *out = s->out + first * s->outputs, *from = memory, *to = memory + ROUNDED(ROWS) * s->inputs;
    if (whole) NAME(product)(&m, whole, x, s->inputs, out, s->outputs);
    if (!rest) return;
    const long direct = rest / TILE_ROWS * TILE_ROWS; /* may be read where they lie, but not written */
    if (direct) NAME(product)(&m, direct, x + whole * s->inputs, s->inputs, to, padded);
    if (rest > direct) {
        memcpy(from, x + (whole + direct) * s->inputs, (size_t)((rest - direct) * s->inputs) * sizeof(float));
        NAME(product)(&m, rest - direct, from, s->inputs, to + direct * padded, padded);
    }
    for (long i = 0; i < rest; i++)
        memcpy(out + (whole + i) * s->outputs, to + i * padded, (size_t)s->outputs * sizeof(float));
}

/* sums[i][v] += a[row][i] b[row][v] over the rows: a tile of a^T b. */
static inline __attribute__((always_inline)) TARGET void NAME(outer_tile)(long rows, const float *a, long a_stride,
    const float *b, long b_stride, float *out, long out_stride, const int entries, const int vectors, int starts) {
    VF sums[MOST_TILE_ROWS][TILE_VECTORS];
    for (int i = 0; i < entries; i++)
        for (int v = 0; v < vectors; v++)
            sums[i][v] = starts ? (VF){0} : NAME(load)(out + i * out_stride + v * LANES, LANES);
    for (long row = 0; row < rows; row++) {
        VF column[TILE_VECTORS];
        for (int v = 0; v < vectors; v++) column[v] = NAME(load)(b + row * b_stride + v * LANES, LANES);
        for (int i = 0; i < entries; i++) {
            const VF entry = a[row * a_stride + i] - (VF){0};
            for (int v = 0; v < vectors; v++) sums[i][v] += entry * column[v];
        }
    }
    for (int i = 0; i < entries; i++)
        for (int v = 0; v < vectors; v++) NAME(store)(out + i * out_stride + v * LANES, sums[i][v], LANES);
}

#define OUTER(entries, vectors)                                                                                        \
    case entries: NAME(outer_tile)(rows, a, a_stride, b, b_stride, out, out_stride, entries, vectors, starts); break;

/* A tile of any number of entries. */
#define OUTER_OF(vectors)                                                                                              \
    static TARGET void NAME(outer_##vectors)(long rows, const float *a, long a_stride, const float *b, long b_stride,  \
        float *out, long out_stride, long entries, int starts) {                                                       \
        switch (entries) {                                                                                             \
            OUTER(1, vectors)                                                                                          \
            OUTER(2, vectors)                                                                                          \
            OUTER(3, vectors)                                                                                          \
            OUTER(4, vectors)                                                                                          \
            OUTER(5, vectors)                                                                                          \
            OUTER(6, vectors)                                                                                          \
        }                                                                                                              \
    }
OUTER_OF(1)
OUTER_OF(2)
#if LANES == 16
OUTER_OF(3)
OUTER_OF(4)
#endif

/* a^T b over some rows, for up to TILE_ROWS columns of a. */
static TARGET void NAME(outer_strip)(
    const struct outer *s, long rows, const float *a, const float *b, float *out, long entries, int starts) {
    const long left = s->left, right = s->right;
    long j = 0;
#if LANES == 16
    for (; j + 4 * LANES <= right; j += 4 * LANES)
        NAME(outer_4)(rows, a, left, b + j, right, out + j, right, entries, starts);
    if (j + 3 * LANES <= right) {
        NAME(outer_3)(rows, a, left, b + j, right, out + j, right, entries, starts);
        j += 3 * LANES;
    }
#endif
    for (; j + 2 * LANES <= right; j += 2 * LANES)
        NAME(outer_2)(rows, a, left, b + j, right, out + j, right, entries, starts);
    for (; j + LANES <= right; j += LANES) NAME(outer_1)(rows, a, left, b + j, right, out + j, right, entries, starts);
    if (j == right) return;
    if (right < LANES) {
        for (; j < right; j++)
            for (long e = 0; e < entries; e++) {
                float sum = starts ? 0 : out[e * right + j];
                for (long row = 0; row < rows; row++) sum += a[row * left + e] * b[row * right + j];
                out[e * right + j] = sum;
            }
        return;
    }
    /* the last vector ends at the last column: of its sums only those are kept that are not there yet */
    float sums[MOST_TILE_ROWS * LANES];
    NAME(outer_1)(rows, a, left, b + right - LANES, right, sums, LANES, entries, 1);
    for (; j < right; j++)
        for (long e = 0; e < entries; e++) {
            const float sum = sums[e * LANES + j - right + LANES];
            out[e * right + j] = starts ? sum : out[e * right + j] + sum;
        }
}

static TARGET void NAME(outer_rows)(const struct outer *s, long first, long rows, float *out, int starts) {
    for (long i = 0; i < s->left; i += TILE_ROWS)
        NAME(outer_strip)(s, rows, s->a + first * s->left + i, s->b + first * s->right, out + i * s->right,
            s->left - i < TILE_ROWS ? s->left - i : TILE_ROWS, starts);
}

/* a^T b over the rows of one chunk, block by block so that rows stay in the cache. */
static TARGET void NAME(outer)(const struct outer *s, long chunk) {
    const long end = (chunk + 1) * s->chunk < s->rows ? (chunk + 1) * s->chunk : s->rows;
    float *out = s->out + chunk * s->left * s->right;
    for (long first = chunk * s->chunk; first < end; first += BLOCK)
        NAME(outer_rows)(s, first, end - first < BLOCK ? end - first : BLOCK, out, first == chunk * s->chunk);
}

static long NAME(workspace)(const struct pointwise *s) { return ROUNDED(ROWS) * (s->inputs + PADDED(s->outputs)); }

#undef OUTER
#undef OUTER_OF
#undef VF
#undef VI
