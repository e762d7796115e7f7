/* Rows of a map on their way through a 3x3 convolution: normalised, multiplied by a matrix, and kept in a ring of three
 * rows that stays in the cache. Included inside each version, after vectors.h, reductions.h, products.h and layer_norm.h.
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
    long left, columns;           /* first pixel of the tile, and how many; the ring has one more at each side */
    float *normalised;            /* (ROUNDED(columns + 2), channels) */
    float *rows;                  /* (3, ROUNDED(columns + 2), outputs) */
};
#endif

static inline long NAME(ring_row_size)(const struct ring *r) {
    return ROUNDED(r->columns + 2) * r->project.vectors * LANES;
}

/* The ring's place of row y of the map, y from -1 to height. */
static inline float *NAME(ring_row)(const struct ring *r, long y) {
    return r->rows + (y + 3) % 3 * NAME(ring_row_size)(r);
}

/* Row y of the map into the ring. */
static TARGET void NAME(fill)(const struct ring *r, long y) {
    const long outputs = r->project.vectors * LANES;
    float *row = NAME(ring_row)(r, y);
    if (y < 0 || y >= r->height) {
        memset(row, 0, (size_t)NAME(ring_row_size)(r) * sizeof(float));
        return;
    }
    const int lacks_left = r->left == 0, lacks_right = r->left + r->columns == r->width;
    for (long i = lacks_left; i < r->columns + 2 - lacks_right; i++)
        NAME(normalise)(r->x + (y * r->width + r->left + i - 1) * r->channels, r->channels, r->weight, r->bias,
            r->normalised + i * r->channels);
    /* pixels beside the map are not multiplied, where the row then still holds what tiles of rows touch */
    const long inside = r->columns + 2 - lacks_left - lacks_right;
    const int room = 1 + (inside + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS <= ROUNDED(r->columns + 2);
    const long start = lacks_left && room;
    NAME(product)(&r->project, inside + lacks_left - start, r->normalised + start * r->channels, r->channels,
        row + start * outputs, outputs);
    if (lacks_left) memset(row, 0, (size_t)outputs * sizeof(float));
    if (lacks_right) memset(row + (r->columns + 1) * outputs, 0, (size_t)outputs * sizeof(float));
}

#define PIXELS 4 /* convolved at a time */

/* The convolution of LANES channels at PIXELS pixels from column i of the tile, row y; `taps` are `stride` apart. */
static inline __attribute__((always_inline)) TARGET void NAME(convolve)(
    const float *const *rows, long offset, long pixel, const VF *taps, VF *sums) {
    for (int p = 0; p < PIXELS; p++) sums[p] = (VF){0};
    for (int dy = 0; dy < 3; dy++)
        for (int q = 0; q < PIXELS + 2; q++) {
            const VF value = NAME(load)(rows[dy] + offset + q * pixel, LANES);
            for (int dx = 0; dx < 3; dx++)
                if (q - dx >= 0 && q - dx < PIXELS) sums[q - dx] += taps[3 * dy + dx] * value;
        }
}
