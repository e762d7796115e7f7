/* Gradients of the DG operator on one element and one group of heads: the backward twins of dg_operator_element.h, which
 * is to be included before. */

#ifndef DG_GRADIENT
#define DG_GRADIENT
enum { LEFT, RIGHT, TOP, BOTTOM };
#endif

/* Gradient at x, from the one g at its normalised values; x comes centred with its deviation. The gradients of weight and
 * bias are added to gnorm. */
INLINE TARGET void NAME(normalise_backward)(VF *g, const VF *centred, VF deviation, VF scale, const VF *norm, VF *gnorm) {
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

/* The gradient at one block's keys and values from G, the sum of the gradients at all operators they are part of. */
INLINE TARGET void NAME(integrate_block_backward)(
        const struct dg_element *e, struct dg_map k, struct dg_map v, const VF *norms, const VF *G, float *gk, float *gv,
        VF *gnorms, int tokens) {
    VF key[WIDTH], value[WIDTH], kn[WIDTH], vn[WIDTH], gkey[WIDTH], gvalue[WIDTH];
    NAME(load_block)(key, k.first, k.right, e->ahead * k.right, tokens, e->heads);
    NAME(load_block)(value, v.first, v.right, e->ahead * v.right, tokens, e->heads);
    const VF key_deviation = NAME(centre)(key), value_deviation = NAME(centre)(value);
    const VF key_scale = 1 / (key_deviation + EPSILON), value_scale = 1 / (value_deviation + EPSILON);
    UNROLL for (int i = 0; i < WIDTH; i++) {
        kn[i] = norms[i] * (key[i] * key_scale) + norms[WIDTH + i];
        vn[i] = norms[2 * WIDTH + i] * (value[i] * value_scale) + norms[3 * WIDTH + i];
        gvalue[i] = (VF){0};
    }
    NAME(cut)(kn, tokens);
    NAME(cut)(vn, tokens);
    UNROLL for (int i = 0; i < WIDTH; i++) {
        VF sum = {0};
        UNROLL for (int j = 0; j < WIDTH; j++) {
            sum += G[i * WIDTH + j] * vn[j];
            gvalue[j] += G[i * WIDTH + j] * kn[i];
        }
        gkey[i] = sum;
    }
    NAME(normalise_backward)(gkey, key, key_deviation, key_scale, norms, gnorms);
    NAME(normalise_backward)(gvalue, value, value_deviation, value_scale, norms + 2 * WIDTH, gnorms + 2 * WIDTH);
    NAME(store_block)(gkey, gk, k.right, e->ahead * k.right, tokens, e->heads);
    NAME(store_block)(gvalue, gv, v.right, e->ahead * v.right, tokens, e->heads);
}

/* sum = own + the gradient at a side, for the block's tokens [from, end). */
INLINE TARGET void NAME(add_side)(
        const struct dg_element *e, VF *sum, const VF *own, const float *gside, long length, int from, int end) {
    const VI mask = NAME(tokens_mask)(from, end);
    for (int i = 0; i < SQUARE; i++) {
        const VF g = NAME(load_heads)(gside + i * e->all_heads, e->heads) * (1 / (float)length);
        sum[i] = own[i] + NAME(select)(mask, g, (VF){0});
    }
}

/* Gradients at keys and values of an element from those at its operators; gk and gv lie as k and v do. The gradients at
 * the norms are added to gnorms, token by token of a block. */
TARGET static void NAME(integrate_element_backward)(
        const struct dg_element *e, struct dg_map k, struct dg_map v, const VF *norms, const float *gvolume,
        const float *const *gsides, float *gk, float *gv, VF *gnorms) {
    VF inside[SQUARE], column[SQUARE], edge[SQUARE];
    for (int i = 0; i < SQUARE; i++)
        inside[i] = NAME(load_heads)(gvolume + i * e->all_heads, e->heads) * (1 / (float)(e->ph * e->pw));
    for (long x = 0; x < BLOCKS(e); x++) {
        const int tokens = TOKENS(e, x);
        const VF *own = inside;
        if (gsides && x == 0) {
            NAME(add_side)(e, column, own, gsides[LEFT], e->ph, 0, 1);
            own = column;
        }
        if (gsides && x == BLOCKS(e) - 1) {
            NAME(add_side)(e, column, own, gsides[RIGHT], e->ph, tokens - 1, tokens);
            own = column;
        }
        for (long y = 0; y < e->ph; y++) {
            const long at = y * k.down + x * TOGETHER * k.right;
            const VF *G = own;
            if (gsides && y == 0) {
                NAME(add_side)(e, edge, G, gsides[TOP], e->pw, 0, TOGETHER);
                G = edge;
            }
            if (gsides && y == e->ph - 1) {
                NAME(add_side)(e, edge, G, gsides[BOTTOM], e->pw, 0, TOGETHER);
                G = edge;
            }
            const struct dg_map key = {k.first + at, k.right, 0}, value = {v.first + at, v.right, 0};
            NAME(integrate_block_backward)(e, key, value, norms, G, gk + at, gv + at, gnorms, tokens);
        }
    }
}

/* Gradients at queries and operator of an element; gout and gq lie as q does. blocks : room as for integrate_element. */
TARGET static void NAME(apply_element_backward)(
        const struct dg_element *e, struct dg_map q, const float *operator, const float *gout, VF *blocks, float *gq,
        float *goperator) {
    VF K[SQUARE];
    for (int i = 0; i < SQUARE; i++) K[i] = NAME(load_heads)(operator + i * e->all_heads, e->heads);
    for (long y = 0; y < e->ph; y++)
        for (long x = 0; x < BLOCKS(e); x++) {
            const int tokens = TOKENS(e, x);
            const long at = y * q.down + x * TOGETHER * q.right;
            VF query[WIDTH], g[WIDTH], gquery[WIDTH], *block = blocks + (y * BLOCKS(e) + x) * 2 * WIDTH;
            NAME(load_block)(query, q.first + at, q.right, e->ahead * q.right, tokens, e->heads);
            NAME(load_block)(g, gout + at, q.right, e->ahead * q.right, tokens, e->heads);
            memcpy(block, query, sizeof query);
            memcpy(block + WIDTH, g, sizeof g);
            UNROLL for (int i = 0; i < WIDTH; i++) {
                VF sum = {0};
                UNROLL for (int j = 0; j < WIDTH; j++) sum += g[j] * K[i * WIDTH + j];
                gquery[i] = sum;
            }
            NAME(store_block)(gquery, gq + at, q.right, e->ahead * q.right, tokens, e->heads);
        }
    NAME(contract)(K, blocks, e->ph, BLOCKS(e), BLOCKS(e));
    NAME(store_operator)(e, goperator, K, 1);
}
