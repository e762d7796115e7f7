/* One instruction set's version of the merge of two scales: included by pointwise.c once per set, after products.h. */

/* The coarse features of 2x2 pixels, `channels` of each, to two rows of pixels; every second half of a pixel's 2c. */
static TARGET void NAME(shuffle)(const float *coarse, long channels, float *upper, float *lower) {
    const long next = 2 * channels; /* floats of a pixel */
    for (long j = 0; j < channels; j++) {
        upper[j] = coarse[4 * j];
        upper[next + j] = coarse[4 * j + 1];
        lower[j] = coarse[4 * j + 2];
        lower[next + j] = coarse[4 * j + 3];
    }
}

/* The same, of bfloat16: the upper half of a float. */
static TARGET void NAME(shuffle_half)(const unsigned short *coarse, long channels, float *upper, float *lower) {
    const long next = 2 * channels;
    unsigned *const above = (unsigned *)upper, *const below = (unsigned *)lower;
    for (long j = 0; j < channels; j++) {
        above[j] = (unsigned)coarse[4 * j] << 16;
        above[next + j] = (unsigned)coarse[4 * j + 1] << 16;
        below[j] = (unsigned)coarse[4 * j + 2] << 16;
        below[next + j] = (unsigned)coarse[4 * j + 3] << 16;
    }
}

static inline __attribute__((always_inline)) TARGET void NAME(copy)(const float *from, long count, float *to) {
    long j = 0;
    for (; j + LANES <= count; j += LANES) NAME(store)(to + j, NAME(load)(from + j, LANES), LANES);
    if (j < count) memcpy(to + j, from + j, (size_t)(count - j) * sizeof(float));
}

/* Two rows of the result, `columns` coarse pixels of them from `left` on, of coarse row `y` of an image. */
static TARGET void NAME(merge)(const struct merge *s, long b, long y, long left, long columns, float *memory) {
    const long c = s->channels, padded = PADDED(s->channels), width = 2 * s->width;
    float *rows[2] = {memory, memory + ROUNDED(ROWS) * 2 * c}, *result = rows[1] + ROUNDED(ROWS) * 2 * c;
    const struct matrix m = {2 * c, padded / LANES, s->packed, NULL, s->parts};
    const long start = ((b * s->height + y) * s->width + left) * 4 * c;
    for (long x = 0; x < columns; x++) {
        float *upper = rows[0] + x * 4 * c, *lower = rows[1] + x * 4 * c;
        if (s->is_half)
            NAME(shuffle_half)((const unsigned short *)s->coarse + start + x * 4 * c, c, upper, lower);
        else
            NAME(shuffle)(s->coarse + start + x * 4 * c, c, upper, lower);
    }
    const int is_whole = padded == c && 2 * columns % TILE_ROWS == 0; /* else more would be written */
    for (long i = 0; i < 2; i++) {
        const long first = (b * 2 * s->height + 2 * y + i) * width + 2 * left;
        float *out = s->out + first * c;
        for (long x = 0; x < 2 * columns; x++) NAME(copy)(s->fine + (first + x) * c, c, rows[i] + x * 2 * c + c);
        NAME(product)(&m, 2 * columns, rows[i], 2 * c, is_whole ? out : result, padded);
        for (long x = 0; x < 2 * columns && !is_whole; x++)
            NAME(copy)(result + x * padded, c, out + x * c);
    }
}

static long NAME(merge_workspace)(const struct merge *s) {
    return ROUNDED(ROWS) * (4 * s->channels + PADDED(s->channels));
}
