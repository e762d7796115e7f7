/* Vectors for the DG operator, and how the channels of a token are dealt to them: included by dg_operator_element.h.
 *
 * One vector holds one channel of HEADS heads at TOGETHER tokens (lane = token * HEADS + head), d vectors hold all
 * their channels: so means, deviations and products over channels or tokens are sums of whole vectors. In memory the
 * channels of a head are neighbours: vectors are dealt like cards, by halves and thirds, when they are loaded, and back
 * when they are stored. Heads come in groups of HEADS, tokens in blocks of TOGETHER; the last ones may lack some. */

#undef SQUARE
#undef HALVINGS
#undef TOGETHER
#undef HEADS
#define SQUARE (WIDTH * WIDTH)
#define HALVINGS (WIDTH == 3 ? 0 : WIDTH == 6 ? 1 : WIDTH == 12 || WIDTH == 4 ? 2 : WIDTH == 8 ? 3 : 4)
#define TOGETHER (WIDTH % 3 ? LANES / 4 : 1) /* the published network, d = 3, 6, 12, has 16 heads; ours 4 or 5 */
#define HEADS (LANES / TOGETHER)

#ifndef DG_MAP
#define DG_MAP
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

struct dg_map { /* one token of a map, and the floats from a token to its neighbours to the right and below */
    const float *first;
    long right, down;
};

#define ODD(l, x) (2 * (l) + (x))                        /* the even or odd numbers of two vectors */
#define ZIP(l, x) ((l) / 2 + (l) % 2 * LANES + (x) * (LANES / 2)) /* and back */
#define NUMBER(l, x) ((l) * 3 + (x))                     /* every third number of three vectors, in two steps */
#define THIRD(l, x) (NUMBER(l, x) < 2 * LANES ? NUMBER(l, x) : 0)
#define THIRD_TOO(l, x) (NUMBER(l, x) < 2 * LANES ? (l) : NUMBER(l, x) - LANES)
#define CARD(l, x) ((l) + (x) * LANES)                   /* and back */
#define ZIP_3(l, x) (CARD(l, x) % 3 == 2 ? 0 : CARD(l, x) % 3 * LANES + CARD(l, x) / 3)
#define ZIP_3_TOO(l, x) (CARD(l, x) % 3 == 2 ? LANES + CARD(l, x) / 3 : (l))
#define TILED(l, x) ((l) % (x))
#define TURNED(l, x) ((l) % (x) * (x) + (l) / (x))

/* Where channel i is after the halves and thirds of d vectors have been dealt. */
#define PLACE_AFTER(n, i) (HALVINGS >= (n) ? ((i) >> ((n) - 1)) % 2 * (WIDTH >> (n)) : 0)
#define PLACE(i) (PLACE_AFTER(1, i) + PLACE_AFTER(2, i) + PLACE_AFTER(3, i) + PLACE_AFTER(4, i) + ((i) >> HALVINGS))
#endif

/* The even numbers of n vectors to the first half of them, the odd ones to the second; likewise for the next n. */
INLINE TARGET void NAME(halve)(VF *v, int n) {
    UNROLL for (int start = 0; start < WIDTH; start += n) {
        VF even[8], odd[8];
        UNROLL for (int i = 0; i < n / 2; i++) {
            even[i] = SHUFFLE(v[start + 2 * i], v[start + 2 * i + 1], ODD, 0);
            odd[i] = SHUFFLE(v[start + 2 * i], v[start + 2 * i + 1], ODD, 1);
        }
        UNROLL for (int i = 0; i < n / 2; i++) v[start + i] = even[i], v[start + n / 2 + i] = odd[i];
    }
}

INLINE TARGET void NAME(unhalve)(VF *v, int n) {
    UNROLL for (int start = 0; start < WIDTH; start += n) {
        VF low[8], high[8];
        UNROLL for (int i = 0; i < n / 2; i++) {
            low[i] = SHUFFLE(v[start + i], v[start + n / 2 + i], ZIP, 0);
            high[i] = SHUFFLE(v[start + i], v[start + n / 2 + i], ZIP, 1);
        }
        UNROLL for (int i = 0; i < n / 2; i++) v[start + 2 * i] = low[i], v[start + 2 * i + 1] = high[i];
    }
}

/* From d vectors as they lie in memory (the d channels of lane 0, of lane 1, ...) to one vector a channel. */
INLINE TARGET void NAME(deal)(VF *v) {
    if (HALVINGS > 0) NAME(halve)(v, WIDTH);
    if (HALVINGS > 1) NAME(halve)(v, WIDTH / 2);
    if (HALVINGS > 2) NAME(halve)(v, WIDTH / 4);
    if (HALVINGS > 3) NAME(halve)(v, WIDTH / 8);
#if WIDTH % 3 == 0
    UNROLL for (int i = 0; i < WIDTH; i += 3) {
        const VF a = v[i], b = v[i + 1], c = v[i + 2];
        v[i] = SHUFFLE(SHUFFLE(a, b, THIRD, 0), c, THIRD_TOO, 0);
        v[i + 1] = SHUFFLE(SHUFFLE(a, b, THIRD, 1), c, THIRD_TOO, 1);
        v[i + 2] = SHUFFLE(SHUFFLE(a, b, THIRD, 2), c, THIRD_TOO, 2);
    }
#endif
    VF dealt[WIDTH];
    UNROLL for (int i = 0; i < WIDTH; i++) dealt[i] = v[PLACE(i)];
    UNROLL for (int i = 0; i < WIDTH; i++) v[i] = dealt[i];
}

/* The inverse of `deal`. */
INLINE TARGET void NAME(collect)(VF *v) {
    VF dealt[WIDTH];
    UNROLL for (int i = 0; i < WIDTH; i++) dealt[PLACE(i)] = v[i];
    UNROLL for (int i = 0; i < WIDTH; i++) v[i] = dealt[i];
#if WIDTH % 3 == 0
    UNROLL for (int i = 0; i < WIDTH; i += 3) {
        const VF a = v[i], b = v[i + 1], c = v[i + 2];
        v[i] = SHUFFLE(SHUFFLE(a, b, ZIP_3, 0), c, ZIP_3_TOO, 0);
        v[i + 1] = SHUFFLE(SHUFFLE(a, b, ZIP_3, 1), c, ZIP_3_TOO, 1);
        v[i + 2] = SHUFFLE(SHUFFLE(a, b, ZIP_3, 2), c, ZIP_3_TOO, 2);
    }
#endif
    if (HALVINGS > 3) NAME(unhalve)(v, WIDTH / 8);
    if (HALVINGS > 2) NAME(unhalve)(v, WIDTH / 4);
    if (HALVINGS > 1) NAME(unhalve)(v, WIDTH / 2);
    if (HALVINGS > 0) NAME(unhalve)(v, WIDTH);
}

/* A block of `tokens` tokens from p on, `right` floats apart, and `heads` heads; what is missing is 0. What lies
 * `ahead` floats further on will be wanted soon and is fetched into the cache. */
INLINE TARGET void NAME(load_block)(VF *v, const float *p, long right, long ahead, int tokens, int heads) {
    const int whole = WIDTH / TOGETHER; /* vectors of one token */
    if ((TOGETHER == 1 || tokens == TOGETHER) && heads == HEADS) {
        UNROLL for (int i = 0; i < WIDTH; i++) {
            const float *at = p + i / whole * right + i % whole * LANES;
            v[i] = NAME(load)(at, LANES);
            __builtin_prefetch(at + ahead);
        }
    } else {
        float flat[WIDTH * LANES] = {0};
        for (int t = 0; t < tokens; t++)
            memcpy(flat + t * HEADS * WIDTH, p + t * right, (size_t)(heads * WIDTH) * sizeof(float));
        UNROLL for (int i = 0; i < WIDTH; i++) v[i] = NAME(load)(flat + i * LANES, LANES);
    }
    NAME(deal)(v);
}

INLINE TARGET void NAME(store_block)(const VF *v, float *p, long right, long ahead, int tokens, int heads) {
    const int whole = WIDTH / TOGETHER;
    VF flat[WIDTH];
    UNROLL for (int i = 0; i < WIDTH; i++) flat[i] = v[i];
    NAME(collect)(flat);
    if ((TOGETHER == 1 || tokens == TOGETHER) && heads == HEADS)
        UNROLL for (int i = 0; i < WIDTH; i++) {
            float *at = p + i / whole * right + i % whole * LANES;
            NAME(store)(at, flat[i], LANES);
            __builtin_prefetch(at + ahead, 1);
        }
    else
        for (int t = 0; t < tokens; t++)
            memcpy(p + t * right, (const float *)flat + t * HEADS * WIDTH, (size_t)(heads * WIDTH) * sizeof(float));
}

/* The tokens [from, end) of a block: all bits of their lanes. */
INLINE TARGET VI NAME(tokens_mask)(int from, int end) {
    VI mask;
    for (int l = 0; l < LANES; l++) mask[l] = l >= from * HEADS && l < end * HEADS ? -1 : 0;
    return mask;
}

/* Operators in memory: for the widths with one token a vector, entry (i, j) of all heads side by side, (d, d, heads);
 * else one head after the other, (heads, d, d). `stride` is the number of all heads. */
#undef OPERATOR_OF
#define OPERATOR_OF(head) (WIDTH % 3 ? (head) * WIDTH * WIDTH : (head))

/* One vector an entry, the same at every token of a block; what stands for missing heads is not used. */
INLINE TARGET void NAME(load_operator)(VF *K, const float *p, long stride, int heads) {
#if WIDTH % 3 == 0
    if (heads == HEADS)
        for (int i = 0; i < SQUARE; i++) K[i] = NAME(load)(p + i * stride, HEADS);
    else
        for (int i = 0; i < SQUARE; i++) K[i] = NAME(load)(p + i * stride, heads);
#else
    (void)stride;
    const float *second = p + (heads > 1) * SQUARE, *third = second + (heads > 2) * SQUARE;
    const float *last = p + (heads - 1) * SQUARE;
    for (int i = 0; i < SQUARE; i++) {
        const VF v = {p[i], second[i], third[i], last[i]};
        K[i] = SHUFFLE(v, v, TILED, HEADS);
    }
#endif
}

/* scale * the sum over the tokens [from, end) of a block. */
INLINE TARGET void NAME(store_operator)(
        const VF *K, float *p, long stride, int heads, float scale, int from, int end) {
#if WIDTH % 3 == 0
    (void)from, (void)end;
    if (heads == HEADS)
        for (int i = 0; i < SQUARE; i++) NAME(store)(p + i * stride, K[i] * scale, HEADS);
    else
        for (int i = 0; i < SQUARE; i++) NAME(store)(p + i * stride, K[i] * scale, heads);
#else
    (void)stride;
    const VI mask = NAME(tokens_mask)(from, end);
    for (int i = 0; i < SQUARE; i += 4) { /* four entries of four heads at a time */
        VF v[4];
        for (int j = 0; j < 4; j++) v[j] = NAME(select)(mask, K[i + j] * scale, (VF){0});
        if (TOGETHER > 2) v[0] = ADD_HALVES(v[0], v[2], LANES / 2), v[1] = ADD_HALVES(v[1], v[3], LANES / 2);
        if (TOGETHER > 1) v[0] = ADD_HALVES(v[0], v[1], 4), v[1] = ADD_HALVES(v[2], v[3], 4);
        if (TOGETHER > 2) v[0] = SHUFFLE(v[0], v[0], TURNED, 4);
        float flat[16]; /* entries of heads, if turned heads of entries */
        memcpy(flat, v, sizeof flat);
        for (int h = 0; h < heads; h++)
            if (TOGETHER > 2)
                memcpy(p + h * SQUARE + i, flat + 4 * h, 4 * sizeof(float));
            else
                for (int j = 0; j < 4; j++) p[h * SQUARE + i + j] = flat[4 * j + h];
    }
#endif
}
