/* The DG operator on one element and one group of heads, from plain pointers: included by dg_operator_versions.h for each
 * head width and instruction set, and free to be used by a kernel that has just computed queries, keys and values.
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
    long all_heads; /* operators lie as (d, d, all heads) in memory; pointers to them point to the group's first head */
    int heads;      /* how many heads the group has, at most HEADS */
    long ahead;     /* elements are that many tokens apart: the next one is fetched into the cache meanwhile */
};
#endif

#undef SQUARE
#define SQUARE (WIDTH * WIDTH)
#define BLOCKS(e) (((e)->pw + TOGETHER - 1) / TOGETHER)                                /* in a row of tokens */
#define TOKENS(e, x) ((int)((e)->pw - (x) * TOGETHER < TOGETHER ? (e)->pw - (x) * TOGETHER : TOGETHER)) /* in block x */

/* Subtracts the mean over the channels and returns the (unbiased) deviation. */
INLINE TARGET VF NAME(centre)(VF *x) {
    VF sum = x[0], squares = {0};
    UNROLL for (int i = 1; i < WIDTH; i++) sum += x[i];
    sum *= 1.0f / WIDTH;
    UNROLL for (int i = 0; i < WIDTH; i++) {
        x[i] -= sum;
        squares += x[i] * x[i];
    }
    return NAME(sqrt)(squares * (1.0f / (WIDTH - 1)));
}

/* w (x - mean) / (deviation + epsilon) + b, norm being the vectors w, then b. */
INLINE TARGET void NAME(normalise)(VF *x, const VF *norm) {
    const VF scale = 1 / (NAME(centre)(x) + EPSILON);
    UNROLL for (int i = 0; i < WIDTH; i++) x[i] = norm[i] * (x[i] * scale) + norm[WIDTH + i];
}

/* Leaves the first `tokens` tokens of a block and puts 0 to the others. */
INLINE TARGET void NAME(cut)(VF *x, int tokens) {
    if (tokens < TOGETHER)
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

/* product[i d + j] = sum of a_i b_j over the blocks of some rows and columns; a and b lie block by block, 2 d vectors. A
 * tile of the product at a time stays in registers. */
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

/* An operator in memory, (d, d, all heads), from its vectors, divided by the number of tokens that were summed. */
INLINE TARGET void NAME(store_operator)(const struct dg_element *e, float *to, const VF *K, float tokens) {
    for (int i = 0; i < SQUARE; i++) NAME(store_sum)(to + i * e->all_heads, K[i] * (1 / tokens), e->heads);
}

INLINE TARGET void NAME(store_side)(const struct dg_element *e, float *to, const VF *K, int token) {
    for (int i = 0; i < SQUARE; i++) NAME(store_token)(to + i * e->all_heads, K[i] / (float)e->ph, token, e->heads);
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
            memcpy(block, key, sizeof key);
            NAME(load_block)(value, v.first + at, v.right, e->ahead * v.right, tokens, e->heads);
            NAME(normalise)(value, norms + 2 * WIDTH);
            memcpy(block + WIDTH, value, sizeof value);
        }
    VF K[SQUARE], part[SQUARE];
    if (!sides) {
        NAME(contract)(K, blocks, e->ph, row, row);
        NAME(store_operator)(e, volume, K, (float)(e->ph * e->pw));
        return;
    }
    NAME(contract)(K, blocks, e->ph, 1, row);
    NAME(store_side)(e, sides[0], K, 0);
    if (row == 1) NAME(store_side)(e, sides[1], K, (int)e->pw - 1);
    if (row > 1) {
        NAME(contract)(part, blocks + (row - 1) * 2 * WIDTH, e->ph, 1, row);
        NAME(store_side)(e, sides[1], part, TOKENS(e, row - 1) - 1);
        for (int i = 0; i < SQUARE; i++) K[i] += part[i];
    }
    if (row > 2) {
        NAME(contract)(part, blocks + 2 * WIDTH, e->ph, row - 2, row);
        for (int i = 0; i < SQUARE; i++) K[i] += part[i];
    }
    NAME(store_operator)(e, volume, K, (float)(e->ph * e->pw));
    NAME(contract)(part, blocks, 1, row, row);
    NAME(store_operator)(e, sides[2], part, (float)e->pw);
    NAME(contract)(part, blocks + (e->ph - 1) * row * 2 * WIDTH, 1, row, row);
    NAME(store_operator)(e, sides[3], part, (float)e->pw);
}

/* out = q K, or q K + z where `onto` is given; K : (d, d, all heads). Maps may be rows of buffers of any stride. */
TARGET static void NAME(apply_element)(
        const struct dg_element *e, struct dg_map q, const float *operator, const struct dg_map *onto, float *out,
        long out_right, long out_down) {
    VF K[SQUARE];
    for (int i = 0; i < SQUARE; i++) K[i] = NAME(load_heads)(operator + i * e->all_heads, e->heads);
    for (long y = 0; y < e->ph; y++)
        for (long x = 0; x < BLOCKS(e); x++) {
            const int tokens = TOKENS(e, x);
            const float *at = q.first + y * q.down + x * TOGETHER * q.right;
            VF query[WIDTH], result[WIDTH];
            NAME(load_block)(query, at, q.right, e->ahead * q.right, tokens, e->heads);
            UNROLL for (int j = 0; j < WIDTH; j++) result[j] = query[0] * K[j];
            UNROLL for (int i = 1; i < WIDTH; i++)
                UNROLL for (int j = 0; j < WIDTH; j++) result[j] += query[i] * K[i * WIDTH + j];
            if (onto) {
                VF z[WIDTH];
                const float *from = onto->first + y * onto->down + x * TOGETHER * onto->right;
                NAME(load_block)(z, from, onto->right, e->ahead * onto->right, tokens, e->heads);
                UNROLL for (int j = 0; j < WIDTH; j++) result[j] += z[j];
            }
            float *to = out + y * out_down + x * TOGETHER * out_right;
            NAME(store_block)(result, to, out_right, e->ahead * out_right, tokens, e->heads);
        }
}
