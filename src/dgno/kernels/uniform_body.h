/* One instruction set's version of the Mersenne twister: included by uniform.c once per set, which defines NAME and
 * TARGET. The loops are plain; the compiler makes vectors of them. */

static inline __attribute__((always_inline)) TARGET uint32_t NAME(twist)(uint32_t word, uint32_t next) {
    const uint32_t joined = (word & 0x80000000u) | (next & 0x7fffffffu);
    return joined >> 1 ^ (-(next & 1u) & 0x9908b0dfu);
}

/* New words in place of the old ones. */
static TARGET void NAME(renew)(uint32_t *words) {
    for (int i = 0; i < WORDS - AHEAD; i++) words[i] = words[i + AHEAD] ^ NAME(twist)(words[i], words[i + 1]);
    for (int i = WORDS - AHEAD; i < WORDS - 1; i++)
        words[i] = words[i + AHEAD - WORDS] ^ NAME(twist)(words[i], words[i + 1]);
    words[WORDS - 1] = words[AHEAD - 1] ^ NAME(twist)(words[WORDS - 1], words[0]);
}

static TARGET void NAME(to_numbers)(const uint32_t *words, long count, float *out) {
    for (long i = 0; i < count; i++) {
        uint32_t y = words[i];
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c5680u;
        y ^= y << 15 & 0xefc60000u;
        y ^= y >> 18;
        out[i] = (float)(int32_t)(y & 0xffffffu) * 0x1p-24f;
    }
}

static TARGET void NAME(draw)(struct generator *g, long count, float *out) {
    uint32_t words[WORDS];
    for (int i = 0; i < WORDS; i++) words[i] = (uint32_t)g->words[i];
    while (count > 0) {
        if (g->left == 1) {
            NAME(renew)(words);
            g->left = WORDS + 1;
            g->next = 0;
        }
        const long some = count < g->left - 1 ? count : g->left - 1;
        NAME(to_numbers)(words + g->next, some, out);
        g->left -= (int32_t)some, g->next += (uint64_t)some;
        count -= some, out += some;
    }
    for (int i = 0; i < WORDS; i++) g->words[i] = words[i];
}
