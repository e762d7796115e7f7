/* Gradients of the kernel integrals of one element and one group of heads: the backward twins of dg_operator_element.h,
 * which is to be included before. */

#ifndef DG_GRADIENT
#define DG_GRADIENT
enum { LEFT, RIGHT, TOP, BOTTOM };
#endif

/* Gradient at x, from the one g at its normalised values; x comes centred with its deviation. The gradients of weight
 * and bias are added to gnorm. */
INLINE TARGET void NAME(normalise_backward)(
        VF *g, const VF *centred, VF deviation, VF scale, const VF *norm, VF *gnorm) {
    VF along = {0}, mean = {0};
    UNROLL for (int i = 0; i < WIDTH; i++) {
        gnorm[i] += g[i] * (centred[i] * scale);
        gnorm[WIDTH + i] += g[i];
        g[i] *= norm[i] * scale;
        along += g[i] * centred[i];
        mean += g[i];
    }
    mean *= 1.0f / WIDTH;
    along *= scale / (deviation * (WIDTH - 1));
    along = NAME(select)(deviation > 0, along, (VF){0}); /* equal channels: their deviation has no slope */
    UNROLL for (int i = 0; i < WIDTH; i++) g[i] -= centred[i] * along + mean;
}

#undef TILE
#define TILE (WIDTH < 6 ? WIDTH : WIDTH % 6 ? 8 : 6)

/* left_i = sum over j of G_ij b_j and right_j = sum over i of G_ij a_i; as many sums at a time as stay in registers. */
INLINE TARGET void NAME(multiply)(const VF *G, const VF *a, const VF *b, VF *left, VF *right) {
    for (int start = 0; start < WIDTH; start += TILE) {
        VF sum[TILE] = {{0}}, other[TILE] = {{0}};
        UNROLL for (int j = 0; j < WIDTH; j++)
            UNROLL for (int i = 0; i < TILE; i++) sum[i] += G[(start + i) * WIDTH + j] * b[j];
        UNROLL for (int i = 0; i < WIDTH; i++)
            UNROLL for (int j = 0; j < TILE; j++) other[j] += G[i * WIDTH + start + j] * a[i];
        UNROLL for (int i = 0; i < TILE; i++) left[start + i] = sum[i], right[start + i] = other[i];
    }
}

/* The gradient at one block's keys and values from G, the sum of the gradients at all operators they are part of. */
INLINE TARGET void NAME(integrate_block_backward)(
        const struct dg_element *e, struct dg_map k, struct dg_map v, const VF *norms, const VF *G, float *gk,
        float *gv, VF *gnorms, int tokens) {
    VF key[WIDTH], value[WIDTH], kn[WIDTH], vn[WIDTH], gkey[WIDTH], gvalue[WIDTH];
    NAME(load_block)(key, k.first, k.right, e->ahead * k.right, tokens, e->heads);
    NAME(load_block)(value, v.first, v.right, e->ahead * v.right, tokens, e->heads);
    const VF key_deviation = NAME(centre)(key), value_deviation = NAME(centre)(value);
    const VF key_scale = 1 / (key_deviation + EPSILON), value_scale = 1 / (value_deviation + EPSILON);
    UNROLL for (int i = 0; i < WIDTH; i++) {
        kn[i] = norms[i] * (key[i] * key_scale) + norms[WIDTH + i];
        vn[i] = norms[2 * WIDTH + i] * (value[i] * value_scale) + norms[3 * WIDTH + i];
    }
    NAME(cut)(kn, tokens);
    NAME(cut)(vn, tokens);
    NAME(multiply)(G, kn, vn, gkey, gvalue);
    NAME(normalise_backward)(gkey, key, key_deviation, key_scale, norms, gnorms);
    NAME(normalise_backward)(gvalue, value, value_deviation, value_scale, norms + 2 * WIDTH, gnorms + 2 * WIDTH);
    NAME(store_block)(gkey, gk, k.right, e->ahead * k.right, tokens, e->heads);
    NAME(store_block)(gvalue, gv, v.right, e->ahead * v.right, tokens, e->heads);
}

/* sum = own + scale * the gradient at a side, for the block's tokens [from, end). */
INLINE TARGET const VF *NAME(add_side)(VF *sum, const VF *own, const VF *gside, float scale, int from, int end) {
    const VF scales = NAME(select)(NAME(tokens_mask)(from, end), (VF){0} + scale, (VF){0});
    for (int i = 0; i < SQUARE; i++) sum[i] = own[i] + gside[i] * scales;
    return sum;
}

/* Gradients at keys and values of an element from those at its operators; gk and gv lie as k and v do. The gradients at
 * the norms are added to gnorms, token by token of a block. */
TARGET static void NAME(integrate_element_backward)(
        const struct dg_element *e, struct dg_map k, struct dg_map v, const VF *norms, const float *gvolume,
        const float *const *gsides, float *gk, float *gv, VF *gnorms) {
    const long row = BLOCKS(e);
    const float along_y = 1 / (float)e->ph, along_x = 1 / (float)e->pw;
    VF inside[SQUARE], side[4][SQUARE], column[SQUARE], top[SQUARE], bottom[SQUARE];
    NAME(load_operator)(inside, gvolume, e->all_heads, e->heads);
    for (int i = 0; i < SQUARE; i++) inside[i] *= along_x * along_y;
    for (int f = 0; gsides && f < 4; f++) NAME(load_operator)(side[f], gsides[f], e->all_heads, e->heads);
    for (long x0 = 0, end; x0 < row; x0 = end) { /* the first block of every row, those between, the last one */
        end = !gsides ? row : x0 == 0 || x0 == row - 1 ? x0 + 1 : row - 1;
        const VF *own = inside, *first = inside, *last = inside;
        if (gsides) {
            const int tokens = TOKENS(e, row - 1);
            if (x0 == 0) own = NAME(add_side)(column, own, side[LEFT], along_y, 0, 1);
            if (end == row) own = NAME(add_side)(column, own, side[RIGHT], along_y, tokens - 1, tokens);
            first = NAME(add_side)(top, own, side[TOP], along_x, 0, TOGETHER);
            last = NAME(add_side)(bottom, e->ph == 1 ? first : own, side[BOTTOM], along_x, 0, TOGETHER);
        }
        for (long y = 0; y < e->ph; y++)
            for (long x = x0; x < end; x++) {
                const long at = y * k.down + x * TOGETHER * k.right;
                const VF *G = y == e->ph - 1 ? last : y == 0 ? first : own;
                const struct dg_map key = {k.first + at, k.right, 0}, value = {v.first + at, v.right, 0};
                NAME(integrate_block_backward)(e, key, value, norms, G, gk + at, gv + at, gnorms, TOKENS(e, x));
            }
    }
}
