/* q K on one element and one group of heads, forward and backward: included after dg_operator_element.h, which explains
 * the terms. */

#ifndef DG_APPLY
#define DG_APPLY
struct dg_target { /* where a map is written to: as struct dg_map */
    float *first;
    long right, down;
};
#endif

#if WIDTH % 3 == 0
/* out = q K, or q K + z where `onto` is given. Maps may be rows of buffers of any strides. */
TARGET static void NAME(apply_element)(
        const struct dg_element *e, struct dg_map q, const float *operator, const struct dg_map *onto,
        struct dg_target out) {
    VF K[SQUARE];
    NAME(load_operator)(K, operator, e->all_heads, e->heads);
    for (long y = 0; y < e->ph; y++)
        for (long x = 0; x < e->pw; x++) {
            VF query[WIDTH], result[WIDTH];
            NAME(load_block)(query, q.first + y * q.down + x * q.right, q.right, e->ahead * q.right, 1, e->heads);
            if (onto)
                NAME(load_block)(result, onto->first + y * onto->down + x * onto->right, onto->right, 0, 1, e->heads);
            else
                UNROLL for (int j = 0; j < WIDTH; j++) result[j] = (VF){0};
            UNROLL for (int i = 0; i < WIDTH; i++)
                UNROLL for (int j = 0; j < WIDTH; j++) result[j] += query[i] * K[i * WIDTH + j];
            float *to = out.first + y * out.down + x * out.right;
            NAME(store_block)(result, to, out.right, e->ahead * out.right, 1, e->heads);
        }
}

/* Gradients at queries and operator; gout and gq lie as q does. blocks : room as for integrate_element. */
TARGET static void NAME(apply_element_backward)(
        const struct dg_element *e, struct dg_map q, const float *operator, const float *gout, VF *blocks, float *gq,
        float *goperator) {
    VF K[SQUARE];
    NAME(load_operator)(K, operator, e->all_heads, e->heads);
    for (long y = 0; y < e->ph; y++)
        for (long x = 0; x < e->pw; x++) {
            const long at = y * q.down + x * q.right;
            VF query[WIDTH], g[WIDTH], gquery[WIDTH], *block = blocks + (y * e->pw + x) * 2 * WIDTH;
            NAME(load_block)(query, q.first + at, q.right, e->ahead * q.right, 1, e->heads);
            NAME(load_block)(g, gout + at, q.right, e->ahead * q.right, 1, e->heads);
            UNROLL for (int i = 0; i < WIDTH; i++) block[i] = query[i], block[WIDTH + i] = g[i];
            UNROLL for (int i = 0; i < WIDTH; i++) {
                VF sum = {0};
                UNROLL for (int j = 0; j < WIDTH; j++) sum += g[j] * K[i * WIDTH + j];
                gquery[i] = sum;
            }
            NAME(store_block)(gquery, gq + at, q.right, e->ahead * q.right, 1, e->heads);
        }
    NAME(contract)(K, blocks, e->ph, e->pw, e->pw);
    NAME(store_operator)(K, goperator, e->all_heads, e->heads, 1, 0, 1);
}
#else
/* Heads of 4, 8 or 16 channels are vectors by themselves, and nothing needs to be dealt: a row of K times a number of q
 * at a time. */
typedef float NAME(head) __attribute__((vector_size(WIDTH * 4)));

INLINE TARGET NAME(head) NAME(load_head)(const float *p) {
    NAME(head) v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE TARGET void NAME(store_head)(float *p, NAME(head) v) { memcpy(p, &v, sizeof v); }

/* The distance from head h to what is fetched into the cache in advance: a line of it at a time. */
#undef AHEAD
#define AHEAD(e, map, h) ((h) * WIDTH % 16 ? 0 : (e)->ahead * (map).right)

TARGET static void NAME(apply_element)(
        const struct dg_element *e, struct dg_map q, const float *operator, const struct dg_map *onto,
        struct dg_target out) {
    for (int h = 0; h < e->heads; h++) {
        NAME(head) K[WIDTH];
        UNROLL for (int i = 0; i < WIDTH; i++) K[i] = NAME(load_head)(operator + h * SQUARE + i * WIDTH);
        for (long y = 0; y < e->ph; y++)
            for (long x = 0; x < e->pw; x++) {
                const float *query = q.first + y * q.down + x * q.right + h * WIDTH;
                float *to = out.first + y * out.down + x * out.right + h * WIDTH;
                NAME(head) result = {0};
                if (onto) result = NAME(load_head)(onto->first + y * onto->down + x * onto->right + h * WIDTH);
                UNROLL for (int i = 0; i < WIDTH; i++) result += query[i] * K[i];
                NAME(store_head)(to, result);
                __builtin_prefetch(query + AHEAD(e, q, h));
                __builtin_prefetch(to + AHEAD(e, out, h), 1);
            }
    }
}

TARGET static void NAME(apply_element_backward)(
        const struct dg_element *e, struct dg_map q, const float *operator, const float *gout, VF *blocks, float *gq,
        float *goperator) {
    (void)blocks;
    for (int h = 0; h < e->heads; h++) {
        NAME(head) columns[WIDTH], gK[WIDTH] = {{0}};
        for (int j = 0; j < WIDTH; j++) {
            float column[WIDTH];
            for (int i = 0; i < WIDTH; i++) column[i] = operator[h * SQUARE + i * WIDTH + j];
            columns[j] = NAME(load_head)(column);
        }
        for (long y = 0; y < e->ph; y++)
            for (long x = 0; x < e->pw; x++) {
                const long at = y * q.down + x * q.right + h * WIDTH;
                const float *query = q.first + at, *g = gout + at;
                const NAME(head) g_head = NAME(load_head)(g);
                NAME(head) gquery = {0};
                UNROLL for (int i = 0; i < WIDTH; i++) gquery += g[i] * columns[i];
                UNROLL for (int i = 0; i < WIDTH; i++) gK[i] += query[i] * g_head;
                NAME(store_head)(gq + at, gquery);
                __builtin_prefetch(query + AHEAD(e, q, h));
                __builtin_prefetch(g + AHEAD(e, q, h));
                __builtin_prefetch(gq + at + AHEAD(e, q, h), 1);
            }
        for (int i = 0; i < WIDTH; i++) NAME(store_head)(goperator + h * SQUARE + i * WIDTH, gK[i]);
    }
}
#endif
