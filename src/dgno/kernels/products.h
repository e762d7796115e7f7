/* Products of rows with a matrix, rows' = rows W^T + bias: included inside each version, after vectors.h.
 *
 * The matrix comes packed, (vectors, inputs, LANES): LANES neighbouring outputs of one input side by side, zeros beyond
 * the last output. A tile of TILE_ROWS x TILE_VECTORS sums stays in registers while the inputs are walked once. Every
 * row is summed in the same order wherever it stands, so a result does not depend on what is computed beside it. */

#ifndef PRODUCTS_H
#define PRODUCTS_H
struct matrix {
    long inputs, vectors; /* outputs: vectors x LANES */
    const float *packed;  /* (vectors, inputs, LANES) */
    const float *bias;    /* (vectors x LANES), or null */
    long parts; /* of bfloat16 that every factor is the sum of, (parts, vectors, pairs of inputs to whole blocks, LANES,
                 * 2), see products_tiles.h; 1: rounded to it; 0: factors are floats, as above */
};
#define INPUT_BLOCKS(inputs) (((inputs) + 31) / 32)
/* Floats of a packed matrix. */
static inline long matrix_floats(long inputs, long vectors, long lanes, long parts) {
    return vectors * lanes * (parts ? parts * INPUT_BLOCKS(inputs) * 16 : inputs);
}
#define TILE_ROWS (LANES == 4 ? 4 : 6)
#define TILE_VECTORS (LANES == 16 ? 4 : 2)
#define MOST_TILE_ROWS 6 /* of all versions: buffers hold a multiple of it */
/* Rows of a buffer that a product of `rows` rows may touch. */
#define ROUNDED(rows) (((rows) + MOST_TILE_ROWS * 2 - 1) / (MOST_TILE_ROWS * 2) * (MOST_TILE_ROWS * 2))
#define WHOLE_TILES(rows) (((rows) + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS) /* those that it does */
#define PADDED(channels) (((channels) + LANES - 1) / LANES * LANES)
#endif

static inline __attribute__((always_inline)) TARGET void NAME(tile)(const struct matrix *m, long first,
    const float *rows, long stride, float *out, long out_stride, const int height, const int vectors) {
    const float *columns = m->packed + first * m->inputs * LANES;
    VF sums[2 * TILE_ROWS][TILE_VECTORS];
    for (int v = 0; v < vectors; v++) {
        VF start = {0};
        if (m->bias) start = NAME(load)(m->bias + (first + v) * LANES, LANES);
        for (int i = 0; i < height; i++) sums[i][v] = start;
    }
    for (long k = 0; k < m->inputs; k++) {
        VF column[TILE_VECTORS];
        for (int v = 0; v < vectors; v++) column[v] = NAME(load)(columns + (v * m->inputs + k) * LANES, LANES);
        for (int i = 0; i < height; i++) {
            const VF entry = rows[i * stride + k] - (VF){0};
            for (int v = 0; v < vectors; v++) sums[i][v] += entry * column[v];
        }
    }
    for (int i = 0; i < height; i++)
        for (int v = 0; v < vectors; v++) NAME(store)(out + i * out_stride + (first + v) * LANES, sums[i][v], LANES);
}

#if defined(HAVE_HALF) && LANES == 16
#define HALF_ROWS 48    /* rounded at a time */
#define MOST_PAIRS 1024 /* of inputs */

/* A row as bfloat16, a zero after an odd number. */
static TARGET_HALF void NAME(round_row)(const float *row, long inputs, unsigned short *out) {
    for (long k = 0; k < inputs; k += 32) {
        const __mmask16 low = inputs - k >= 16 ? 0xffff : (__mmask16)((1u << (inputs - k)) - 1);
        const __mmask16 high = inputs - k >= 32   ? 0xffff
                               : inputs - k <= 16 ? 0
                                                  : (__mmask16)((1u << (inputs - k - 16)) - 1);
        const __m512bh both =
            _mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(high, row + k + 16), _mm512_maskz_loadu_ps(low, row + k));
        memcpy(out + k, &both, sizeof both);
    }
}

static inline __attribute__((always_inline)) TARGET_HALF void NAME(half_tile)(const struct matrix *m, long first,
    const unsigned short *rows, long stride, float *out, long out_stride, const int vectors) {
    const long pairs = (m->inputs + 1) / 2, size = 512 * INPUT_BLOCKS(m->inputs);
    const unsigned short *columns = (const unsigned short *)m->packed + first * size;
    __m512 sums[TILE_ROWS][TILE_VECTORS];
    for (int v = 0; v < vectors; v++) {
        const __m512 start = m->bias ? _mm512_loadu_ps(m->bias + (first + v) * 16) : _mm512_setzero_ps();
        for (int i = 0; i < TILE_ROWS; i++) sums[i][v] = start;
    }
    for (long k = 0; k < pairs; k++) {
        __m512i column[TILE_VECTORS];
        for (int v = 0; v < vectors; v++) column[v] = _mm512_loadu_si512(columns + v * size + k * 32);
        for (int i = 0; i < TILE_ROWS; i++) {
            int pair;
            memcpy(&pair, rows + i * stride + 2 * k, sizeof pair);
            const __m512i entry = _mm512_set1_epi32(pair);
            for (int v = 0; v < vectors; v++)
                sums[i][v] = _mm512_dpbf16_ps(sums[i][v], (__m512bh)entry, (__m512bh)column[v]);
        }
    }
    for (int i = 0; i < TILE_ROWS; i++)
        for (int v = 0; v < vectors; v++) _mm512_storeu_ps(out + i * out_stride + (first + v) * 16, sums[i][v]);
}

static TARGET_HALF void NAME(half_product)(
    const struct matrix *m, long count, const float *rows, long stride, float *out, long out_stride) {
    const long width = 32 * INPUT_BLOCKS(m->inputs);
    unsigned short half[HALF_ROWS * 2 * MOST_PAIRS];
    for (long start = 0; start < count; start += HALF_ROWS) {
        const long some = count - start < HALF_ROWS ? count - start : HALF_ROWS;
        for (long i = 0; i < (some + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS; i++)
            NAME(round_row)(rows + (start + i) * stride, m->inputs, half + i * width);
        for (long first = 0; first < m->vectors; first += TILE_VECTORS)
            for (long i = 0; i < some; i += TILE_ROWS) {
                const unsigned short *from = half + i * width;
                float *to = out + (start + i) * out_stride;
                switch (m->vectors - first) {
                case 1: NAME(half_tile)(m, first, from, width, to, out_stride, 1); break;
                case 2: NAME(half_tile)(m, first, from, width, to, out_stride, 2); break;
                case 3: NAME(half_tile)(m, first, from, width, to, out_stride, 3); break;
                default: NAME(half_tile)(m, first, from, width, to, out_stride, TILE_VECTORS);
                }
            }
    }
}
#ifdef HAVE_TILES
#include "products_tiles.h"
#endif
#endif

/* `count` rows of m->inputs entries, `stride` apart, to rows of whole vectors. Both buffers hold ROUNDED(count)
 * rows. */
static TARGET void NAME(product)(
    const struct matrix *m, long count, const float *rows, long stride, float *out, long out_stride) {
#if defined(HAVE_HALF) && LANES == 16
#ifdef HAVE_TILES
    if (m->parts > 1 || (m->parts && tiles_are_allowed && has_tiles())) {
        NAME(tiles_product)(m, count, rows, stride, out, out_stride);
        return;
    }
#endif
    if (m->parts) {
        NAME(half_product)(m, count, rows, stride, out, out_stride);
        return;
    }
#endif
    for (long first = 0; first < m->vectors; first += TILE_VECTORS) {
        long i = 0;
        for (; m->vectors - first == 1 && count - i > TILE_ROWS; i += 2 * TILE_ROWS) /* else sums wait for each other */
            NAME(tile)(m, first, rows + i * stride, stride, out + i * out_stride, out_stride, 2 * TILE_ROWS, 1);
        for (; i < count; i += TILE_ROWS) {
            const float *from = rows + i * stride;
            float *to = out + i * out_stride;
            switch (m->vectors - first) {
            case 1: NAME(tile)(m, first, from, stride, to, out_stride, TILE_ROWS, 1); break;
#if LANES == 16
            case 2: NAME(tile)(m, first, from, stride, to, out_stride, TILE_ROWS, 2); break;
            case 3: NAME(tile)(m, first, from, stride, to, out_stride, TILE_ROWS, 3); break;
#endif
            default: NAME(tile)(m, first, from, stride, to, out_stride, TILE_ROWS, TILE_VECTORS);
            }
        }
    }
}

/* out = x + y for a row of pixels, which may be x; pixels of y are `stride` apart. */
static inline __attribute__((always_inline)) TARGET void NAME(add_row)(
    const float *x, const float *y, long stride, long pixels, long channels, float *out) {
    const long whole = channels / LANES * LANES;
    const int rest = (int)(channels - whole);
    for (long i = 0; i < pixels; i++, x += channels, y += stride, out += channels) {
        for (long c = 0; c < whole; c += LANES)
            NAME(store)(out + c, NAME(load)(x + c, LANES) + NAME(load)(y + c, LANES), LANES);
        if (rest) NAME(store)(out + whole, NAME(load)(x + whole, rest) + NAME(load)(y + whole, rest), rest);
    }
}

/* The same, streamed; channels in whole vectors. */
static inline __attribute__((always_inline)) TARGET void NAME(stream_row)(
    const float *x, const float *y, long stride, long pixels, long channels, float *out) {
    for (long i = 0; i < pixels; i++, x += channels, y += stride, out += channels)
        for (long c = 0; c < channels; c += LANES)
            NAME(stream)(out + c, NAME(load)(x + c, LANES) + NAME(load)(y + c, LANES));
}
