/* The kernel integrals of one element and one group of heads, from plain pointers: included by dg_operator_versions.h
 * for each head width and instruction set, and free to be used by a kernel that has just computed keys and values.
 *
 * The includer defines
 *   NAME(x)   the name of x in this version
 *   TARGET    the attribute that selects the instruction set
 *   LANES     the floats in a vector
 *   WIDTH     d, the channels of a head */

#define VF NAME(vector)
#define VI NAME(integers)
#include "vectors.h"

#include "dg_operator_deal.h"

#ifndef DG_ELEMENT
#define DG_ELEMENT
#define EPSILON 1e-5f

struct dg_element {
    long ph, pw;    /* its tokens in y and x */
    long all_heads; /* the operator's stride, see dg_operator_deal.h; pointers point to what belongs to the group */
    int heads;      /* how many heads the group has */
    long ahead;     /* elements are that many tokens apart: the next one is fetched into the cache meanwhile */
};
#endif

#define BLOCKS(e) (((e)->pw + TOGETHER - 1) / TOGETHER)                                /* in a row of tokens */
#define TOKENS(e, x) ((int)((e)->pw - (x) * TOGETHER < TOGETHER ? (e)->pw - (x) * TOGETHER : TOGETHER)) /* in block x */

/* Subtracts the mean over the channels and returns the (unbiased) deviation. */
INLINE TARGET VF NAME(centre)(VF *x) {
    VF sums[2] = {{0}}, squares[2] = {{0}}; /* of even and odd channels: two short chains are faster than a long one */
    UNROLL for (int i = 0; i < WIDTH; i++) sums[i % 2] += x[i];
    const VF mean = (sums[0] + sums[1]) * (1.0f / WIDTH);
    UNROLL for (int i = 0; i < WIDTH; i++) {
        x[i] -= mean;
        squares[i % 2] += x[i] * x[i];
    }
    return NAME(sqrt)((squares[0] + squares[1]) * (1.0f / (WIDTH - 1)));
}

/* w (x - mean) / (deviation + epsilon) + b, norm being the vectors w, then b. */
INLINE TARGET void NAME(normalise)(VF *x, const VF *norm) {
    const VF scale = 1 / (NAME(centre)(x) + EPSILON);
    UNROLL for (int i = 0; i < WIDTH; i++) x[i] = norm[i] * (x[i] * scale) + norm[WIDTH + i];
}

/* Leaves the first `tokens` tokens of a block and puts 0 to the others. */
INLINE TARGET void NAME(cut)(VF *x, int tokens) {
    if (TOGETHER > 1 && tokens < TOGETHER)
        UNROLL for (int i = 0; i < WIDTH; i++) x[i] = NAME(select)(NAME(tokens_mask)(0, tokens), x[i], (VF){0});
}

#undef TILE_I
#undef TILE_J
#if WIDTH % 3 == 0
#define TILE_I (LANES == 16 && WIDTH == 12 ? 4 : 3)
#define TILE_J (LANES == 16 && WIDTH > 3 ? 6 : 3)
#else
#define TILE_I (LANES == 16 ? 4 : 2)
#define TILE_J 4
#endif

/* product[i d + j] = sum of a_i b_j over the blocks of some rows and columns; a and b lie block by block, 2 d vectors.
 * A tile of the product at a time stays in registers. */
INLINE TARGET void NAME(contract)(VF *product, const VF *blocks, long rows, long columns, long row) {
    for (int i0 = 0; i0 < WIDTH; i0 += TILE_I)
        for (int j0 = 0; j0 < WIDTH; j0 += TILE_J) {
            VF tile[TILE_I][TILE_J] = {{{0}}};
            for (long y = 0; y < rows; y++)
                for (long x = 0; x < columns; x++) {
                    const VF *a = blocks + (y * row + x) * 2 * WIDTH + i0, *b = a - i0 + WIDTH + j0;
                    UNROLL for (int i = 0; i < TILE_I; i++)
                        UNROLL for (int j = 0; j < TILE_J; j++) tile[i][j] += a[i] * b[j];
                }
            UNROLL for (int i = 0; i < TILE_I; i++)
                UNROLL for (int j = 0; j < TILE_J; j++) product[(i0 + i) * WIDTH + j0 + j] = tile[i][j];
        }
}

/* K = k^T v over the element, and, where `sides` are given, over its outermost tokens left, right, at the top, at the
 * bottom; every one divided by the number of its tokens.
 *
 * norms : weight and bias of the keys, weight and bias of the values, d vectors each
 * blocks : room for 2 d vectors for each of the element's blocks */
TARGET static void NAME(integrate_element)(
        const struct dg_element *e, struct dg_map k, struct dg_map v, const VF *norms, VF *blocks, float *volume,
        float *const *sides) {
    const long row = BLOCKS(e);
    for (long y = 0; y < e->ph; y++)
        for (long x = 0; x < row; x++) {
            VF *block = blocks + (y * row + x) * 2 * WIDTH;
            const int tokens = TOKENS(e, x);
            const long at = y * k.down + x * TOGETHER * k.right;
            VF key[WIDTH], value[WIDTH];
            NAME(load_block)(key, k.first + at, k.right, e->ahead * k.right, tokens, e->heads);
            NAME(normalise)(key, norms);
            NAME(cut)(key, tokens);
            UNROLL for (int i = 0; i < WIDTH; i++) block[i] = key[i];
            NAME(load_block)(value, v.first + at, v.right, e->ahead * v.right, tokens, e->heads);
            NAME(normalise)(value, norms + 2 * WIDTH);
            UNROLL for (int i = 0; i < WIDTH; i++) block[WIDTH + i] = value[i];
        }
    VF K[SQUARE], part[SQUARE];
    if (!sides) {
        NAME(contract)(K, blocks, e->ph, row, row);
        NAME(store_operator)(K, volume, e->all_heads, e->heads, 1 / (float)(e->ph * e->pw), 0, TOGETHER);
        return;
    }
    NAME(contract)(K, blocks, e->ph, 1, row);
    NAME(store_operator)(K, sides[0], e->all_heads, e->heads, 1 / (float)e->ph, 0, 1);
    NAME(contract)(part, blocks + (row - 1) * 2 * WIDTH, e->ph, 1, row);
    const int end = TOKENS(e, row - 1);
    NAME(store_operator)(part, sides[1], e->all_heads, e->heads, 1 / (float)e->ph, end - 1, end);
    if (row > 1)
        for (int i = 0; i < SQUARE; i++) K[i] += part[i];
    if (row > 2) {
        NAME(contract)(part, blocks + 2 * WIDTH, e->ph, row - 2, row);
        for (int i = 0; i < SQUARE; i++) K[i] += part[i];
    }
    NAME(store_operator)(K, volume, e->all_heads, e->heads, 1 / (float)(e->ph * e->pw), 0, TOGETHER);
    NAME(contract)(part, blocks, 1, row, row);
    NAME(store_operator)(part, sides[2], e->all_heads, e->heads, 1 / (float)e->pw, 0, TOGETHER);
    NAME(contract)(part, blocks + (e->ph - 1) * row * 2 * WIDTH, 1, row, row);
    NAME(store_operator)(part, sides[3], e->all_heads, e->heads, 1 / (float)e->pw, 0, TOGETHER);
}
