/* Products summed over rows, a^T b: the gradient at the weights of a linear map. Included inside each version, after
 * vectors.h and products.h. */

#ifndef OUTER_PRODUCTS_H
#define OUTER_PRODUCTS_H
struct factors { /* rows of `left` entries of a and of `right` entries of b, so far apart */
    long left, right, left_stride, right_stride;
};
#endif

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
    const struct factors *f, long rows, const float *a, const float *b, float *out, long entries, int starts) {
    const long across = f->left_stride, along = f->right_stride, right = f->right;
    long j = 0;
#if LANES == 16
    for (; j + 4 * LANES <= right; j += 4 * LANES)
        NAME(outer_4)(rows, a, across, b + j, along, out + j, right, entries, starts);
    if (j + 3 * LANES <= right) {
        NAME(outer_3)(rows, a, across, b + j, along, out + j, right, entries, starts);
        j += 3 * LANES;
    }
#endif
    for (; j + 2 * LANES <= right; j += 2 * LANES)
        NAME(outer_2)(rows, a, across, b + j, along, out + j, right, entries, starts);
    for (; j + LANES <= right; j += LANES)
        NAME(outer_1)(rows, a, across, b + j, along, out + j, right, entries, starts);
    if (j == right) return;
    if (right < LANES) {
        for (; j < right; j++)
            for (long e = 0; e < entries; e++) {
                float sum = starts ? 0 : out[e * right + j];
                for (long row = 0; row < rows; row++) sum += a[row * across + e] * b[row * along + j];
                out[e * right + j] = sum;
            }
        return;
    }
    /* the last vector ends at the last column: of its sums only those are kept that are not there yet */
    float sums[MOST_TILE_ROWS * LANES];
    NAME(outer_1)(rows, a, across, b + right - LANES, along, sums, LANES, entries, 1);
    for (; j < right; j++)
        for (long e = 0; e < entries; e++) {
            const float sum = sums[e * LANES + j - right + LANES];
            out[e * right + j] = starts ? sum : out[e * right + j] + sum;
        }
}

/* a^T b over the rows, added to `out` (left, right) or, at the start of a sum, put there. The rows are to stay in the
 * cache. */
static TARGET void NAME(outer_products)(
    const struct factors *f, long rows, const float *a, const float *b, float *out, int starts) {
    for (long i = 0; i < f->left; i += TILE_ROWS)
        NAME(outer_strip)(f, rows, a + i, b, out + i * f->right,
            f->left - i < TILE_ROWS ? f->left - i : TILE_ROWS, starts);
}
#undef OUTER
#undef OUTER_OF
