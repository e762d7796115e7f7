/* Vectors for the DG operator, and how the channels of a token are dealt to them: included by dg_operator_element.h.
 *
 * One vector holds one channel of HEADS heads at TOGETHER tokens (lane = token * HEADS + head), d vectors hold all their
 * channels: so means, deviations and products over channels or tokens are sums of whole vectors. In memory the channels
 * of a head are neighbours: vectors are dealt like cards, by halves and thirds, when they are loaded, and back when they
 * are stored. Heads come in groups of HEADS, tokens in blocks of TOGETHER; the last ones may lack some. */

#undef HALVINGS
#undef TOGETHER
#undef HEADS
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
#define OTHERS(l, x) (((l) + (x)) % LANES)

/* Where channel i is after the halves and thirds of d vectors have been dealt. */
#define PLACE(i)                                                                                                        \
    ((HALVINGS > 0 ? (i) % 2 * (WIDTH / 2) : 0) + (HALVINGS > 1 ? (i) / 2 % 2 * (WIDTH / 4) : 0) +                      \
     (HALVINGS > 2 ? (i) / 4 % 2 * (WIDTH / 8) : 0) + (HALVINGS > 3 ? (i) / 8 % 2 * (WIDTH / 16) : 0) + ((i) >> HALVINGS))
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

/* A block of `tokens` tokens from p on, `right` floats apart, and `heads` heads; what is missing is 0. The floats `ahead`
 * of these, which will be wanted soon, are fetched into the cache. */
INLINE TARGET void NAME(load_block)(VF *v, const float *p, long right, long ahead, int tokens, int heads) {
    const int whole = WIDTH / TOGETHER; /* vectors of one token */
    if (tokens == TOGETHER && heads == HEADS) {
        UNROLL for (int i = 0; i < WIDTH; i++) {
            const float *at = p + i / whole * right + i % whole * LANES;
            v[i] = NAME(load)(at, LANES);
            __builtin_prefetch(at + ahead);
        }
    } else {
        float flat[WIDTH * LANES] = {0};
        for (int t = 0; t < tokens; t++)
            memcpy(flat + t * HEADS * WIDTH, p + t * right, (size_t)(heads * WIDTH) * sizeof(float));
        memcpy(v, flat, sizeof flat);
    }
    NAME(deal)(v);
}

INLINE TARGET void NAME(store_block)(const VF *v, float *p, long right, long ahead, int tokens, int heads) {
    const int whole = WIDTH / TOGETHER;
    VF flat[WIDTH];
    UNROLL for (int i = 0; i < WIDTH; i++) flat[i] = v[i];
    NAME(collect)(flat);
    if (tokens == TOGETHER && heads == HEADS)
        UNROLL for (int i = 0; i < WIDTH; i++) {
            float *at = p + i / whole * right + i % whole * LANES;
            NAME(store)(at, flat[i], LANES);
            __builtin_prefetch(at + ahead, 1);
        }
    else
        for (int t = 0; t < tokens; t++)
            memcpy(p + t * right, (const float *)flat + t * HEADS * WIDTH, (size_t)(heads * WIDTH) * sizeof(float));
}

/* The same `heads` numbers at every token of a block. */
INLINE TARGET VF NAME(load_heads)(const float *p, int heads) {
    VF v = NAME(load)(p, heads == HEADS ? HEADS : heads);
    return TOGETHER == 1 ? v : SHUFFLE(v, v, TILED, HEADS);
}

/* The sum over the tokens of a block, and the part of its token t, to memory. */
INLINE TARGET void NAME(store_sum)(float *p, VF v, int heads) {
    if (TOGETHER > 2) v += SHUFFLE(v, v, OTHERS, LANES / 2);
    if (TOGETHER > 1) v += SHUFFLE(v, v, OTHERS, HEADS);
    memcpy(p, &v, (size_t)(heads == HEADS ? HEADS : heads) * sizeof(float));
}

INLINE TARGET void NAME(store_token)(float *p, VF v, int t, int heads) {
    memcpy(p, (const float *)&v + t * HEADS, (size_t)heads * sizeof(float));
}

/* All lanes of the tokens [from, end) of a block. */
INLINE TARGET VI NAME(tokens_mask)(int from, int end) {
    VI mask;
    for (int l = 0; l < LANES; l++) mask[l] = l >= from * HEADS && l < end * HEADS ? -1 : 0;
    return mask;
}
