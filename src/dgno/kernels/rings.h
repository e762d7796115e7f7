/* Rows of a map on their way through a 3x3 convolution: normalised, multiplied by a matrix, and kept in a ring of three
 * rows that stays in the cache. Included inside each version, after vectors.h, reductions.h, products.h and
 * layer_norm.h.
 *
 * A map is cut into columns of `tile` pixels and strips of rows; one task walks down its strip with a pixel of context
 * at each side. Beyond the map the convolution sees zeros. */

#ifndef RINGS_H
#define RINGS_H
struct ring {
    long height, width, channels; /* of the map x, channels-last */
    const float *x;               /* one image */
    const float *weight, *bias;   /* of the layer norm over the channels */
    struct matrix project;        /* what is convolved: the normalised pixels times this */
    long left, columns;           /* first pixel of the tile, and how many; the ring has one more at each side; the
                                     tile may begin or end a pixel beyond the map */
    float *normalised;            /* (ROUNDED(columns + 2), channels) */
    float *rows;                  /* (3, ROUNDED(columns + 2), RING_PIXEL(outputs)) */
};

/* Floats from one pixel of a ring to the next: an odd number of vectors, so that neighbours, which are read together,
 * fall on different sets of the cache. */
#define RING_PIXEL(outputs) (((outputs) / LANES | 1) * LANES)
#endif

static inline long NAME(ring_pixel)(const struct ring *r) { return RING_PIXEL(r->project.vectors * LANES); }

static inline long NAME(ring_row_size)(const struct ring *r) { return ROUNDED(r->columns + 2) * NAME(ring_pixel)(r); }

/* The ring's place of row y of the map, y from -3 on. */
static inline float *NAME(ring_row)(const struct ring *r, long y) {
    return r->rows + (y + 3) % 3 * NAME(ring_row_size)(r);
}

/* Row y of the map into the ring. */
static TARGET void NAME(fill)(const struct ring *r, long y) {
    const long pixel = NAME(ring_pixel)(r);
    float *row = NAME(ring_row)(r, y);
    if (y < 0 || y >= r->height) {
        memset(row, 0, (size_t)NAME(ring_row_size)(r) * sizeof(float));
        return;
    }
    const long beyond = r->left + r->columns + 1 - r->width, first = r->left < 1 ? 1 - r->left : 0,
               end = r->columns + 2 - (beyond > 0 ? beyond : 0); /* of the pixels that the map has */
    NAME(normalise_pixels)(r->x + (y * r->width + r->left + first - 1) * r->channels, end - first, r->channels,
        r->weight, r->bias, r->normalised + first * r->channels, y + 1 < r->height ? r->width * r->channels : 0);
    const long fits = first + WHOLE_TILES(end - first) <= ROUNDED(r->columns + 2), start = fits ? first : 0;
    NAME(product)(&r->project, end - start, r->normalised + start * r->channels, r->channels, row + start * pixel,
        pixel);
    memset(row, 0, (size_t)(first * pixel) * sizeof(float));
    memset(row + end * pixel, 0, (size_t)((r->columns + 2 - end) * pixel) * sizeof(float));
}

#define PIXELS 4 /* convolved at a time */

/* A pointer of which the compiler no longer knows how it came about: otherwise it keeps one for each of the eighteen
 * pixels that a convolution reads, and most of them in memory. */
#undef HIDE
#ifdef __GNUC__
#define HIDE(pointer) __asm__("" : "+r"(pointer))
#else
#define HIDE(pointer)
#endif

/* The convolution of LANES channels at PIXELS pixels from column i of the tile, row y; `taps` are `stride` apart. */
static inline __attribute__((always_inline)) TARGET void NAME(convolve)(
    const float *const *rows, long offset, long pixel, const VF *taps, VF *sums) {
    for (int p = 0; p < PIXELS; p++) sums[p] = (VF){0};
    for (int dy = 0; dy < 3; dy++) {
        const float *row = rows[dy] + offset;
        HIDE(row);
        for (int q = 0; q < PIXELS + 2; q++) {
            const VF value = NAME(load)(row + q * pixel, LANES);
            for (int dx = 0; dx < 3; dx++)
                if (q - dx >= 0 && q - dx < PIXELS) sums[q - dx] += taps[3 * dy + dx] * value;
        }
    }
}
