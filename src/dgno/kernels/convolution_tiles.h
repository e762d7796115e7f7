/* Convolutions of factors rounded to bfloat16, by their definition, in the tiles of AMX: included by convolution_body.h
 * in the version of 16 lanes, after products.h, which has the tiles' layout.
 *
 * A task rounds a part of the map with its border into a buffer. There neighbours are the rows of a factor for every
 * tap, and the sums of 32 pixels and two vectors of outputs stay in tiles over all taps and inputs. Two vectors of
 * outputs are computed for the whole part before the next, so that their taps stay in the cache. */

#define MOST_COLUMNS 64 /* of a part of the map */
#define HELD 262144     /* halves of its buffer, for which rows are chosen */
#define SUMS (GROUP * 32) /* of a group of pixels and two vectors of outputs */

static inline long NAME(halves_of_pixel)(const struct convolution *s) { return 32 * INPUT_BLOCKS(s->inputs); }

static inline long NAME(tiled_columns)(const struct convolution *s) {
    return s->width < MOST_COLUMNS ? s->width : MOST_COLUMNS;
}

/* Rows of a part, an even number. */
static inline long NAME(tiled_rows)(const struct convolution *s) {
    const long rows = HELD / ((NAME(tiled_columns)(s) + 2) * NAME(halves_of_pixel)(s)) - 2;
    return rows < 2 ? 2 : rows / 2 * 2;
}

static long NAME(tiled_tasks)(const struct convolution *s) {
    return tiles_of(s->batch, s->height, s->width, NAME(tiled_rows)(s), NAME(tiled_columns)(s));
}

/* The buffer, with room for a block of inputs behind its last pixel, and the sums of groups of two rows. */
static long NAME(tiled_workspace)(const struct convolution *s) {
    return (NAME(tiled_rows)(s) + 2) * (NAME(tiled_columns)(s) + 2) * NAME(halves_of_pixel)(s) / 2 + 16 + 2 * SUMS;
}

/* The part with a border of a pixel, zeros beyond the map. */
static TARGET_TILES void NAME(hold)(const struct convolution *s, const struct tile *t, unsigned short *held) {
    const long halves = NAME(halves_of_pixel)(s), across = NAME(tiled_columns)(s) + 2,
               of_first = s->inputs - s->of_second;
    for (long y = t->top - 1; y <= t->bottom; y++, held += across * halves)
        for (long i = 0; i < across; i++) {
            unsigned short *out = held + i * halves;
            const long x = t->left - 1 + i, pixel = (t->image * s->height + y) * s->width + x;
            const int is_inside = y >= 0 && y < s->height && x >= 0 && x < s->width;
            if (!is_inside || s->of_second) memset(out, 0, (size_t)halves * sizeof *out);
            if (!is_inside) continue;
            NAME(round_row)(s->x + pixel * of_first, of_first, out);
            if (s->of_second) NAME(round_row)(s->second + pixel * s->of_second, s->of_second, out + of_first);
        }
}

/* The sums of up to 16 pixels, or 32 if there are `lower` ones, for vector `first` of the outputs, and for the next if
 * there is one to its right. */
static inline __attribute__((always_inline)) TARGET_TILES void NAME(multiply_taps)(const struct convolution *s,
    long first, const unsigned short *pixels, float *out, const int lower, const int right) {
    const long blocks = INPUT_BLOCKS(s->inputs), halves = 32 * blocks, vectors = PADDED(s->outputs) / LANES,
               next_row = (NAME(tiled_columns)(s) + 2) * halves, row = halves;
    const struct matrix bias = {0, 0, NULL, s->bias, 1}, *const m = &bias;
    START_TILE(0, first);
    if (right) START_TILE(1, first + 1);
    if (lower) START_TILE(2, first);
    if (lower && right) START_TILE(3, first + 1);
    for (long tap = 0; tap < 9; tap++) {
        const unsigned short *rows = pixels + tap / 3 * next_row + tap % 3 * halves;
        const unsigned short *columns = (const unsigned short *)s->packed + (tap * vectors + first) * blocks * 512;
        for (long k = 0; k < blocks; k++) {
            _tile_loadd(UPPER_TILE, rows + 32 * k, 2 * row);
            if (lower) _tile_loadd(LOWER_TILE, rows + TILE_SIDE * row + 32 * k, 2 * row);
            _tile_loadd(LEFT_TILE, columns + 512 * k, 64);
            if (right) _tile_loadd(RIGHT_TILE, columns + 512 * (blocks + k), 64);
            ADD_PRODUCTS;
        }
    }
    _tile_stored(0, out, 128);
    if (right) _tile_stored(1, out + TILE_SIDE, 128);
    if (lower) _tile_stored(2, out + TILE_SIDE * 32, 128);
    if (lower && right) _tile_stored(3, out + TILE_SIDE * 32 + TILE_SIDE, 128);
    TILE_BARRIER;
}

/* Sums of `count` neighbours from (y, x) of an image on, `outputs` of them from `first` on, to where they belong. */
static TARGET void NAME(deliver)(const struct convolution *s, const float *sums, long image, long y, long x, long count,
    long first, long outputs) {
    float *out = s->out + ((image * s->height + y) * s->width + x) * s->outputs + first;
    if (!NAME(wants_stream)(s->out, s->batch * s->height * s->width, s->outputs)) {
        for (long i = 0; i < count; i++) memcpy(out + i * s->outputs, sums + i * 32, (size_t)outputs * sizeof *sums);
        return;
    }
    for (long i = 0; i < count; i++)
        for (long o = 0; o < outputs; o += LANES)
            NAME(stream)(out + i * s->outputs + o, NAME(load)(sums + i * 32 + o, LANES));
}

/* Those of two rows, 2x2 pixels of them side by side. */
static TARGET void NAME(deliver_unshuffled)(const struct convolution *s, const float *sums, long image, long y, long x,
    long count, long first, long outputs) {
    float *out = s->out + 4 * (((image * s->height + y) / 2 * (s->width / 2) + x / 2) * s->outputs + first);
    for (long i = 0; i < count; i += 2, out += 4 * s->outputs)
        for (long o = 0; o < outputs; o += LANES) {
            VF pixels[2][2];
            for (int j = 0; j < 4; j++)
                pixels[j / 2][j % 2] = NAME(load)(sums + j / 2 * SUMS + (i + j % 2) * 32 + o, LANES);
            NAME(unshuffle)(pixels, out + 4 * o, outputs - o);
        }
}

/* A part of the result. */
static TARGET_TILES void NAME(tiled)(const struct convolution *s, long i, float *memory) {
    const struct tile t = tile_at(i, s->height, s->width, NAME(tiled_rows)(s), NAME(tiled_columns)(s));
    const long halves = NAME(halves_of_pixel)(s), across = NAME(tiled_columns)(s), vectors = PADDED(s->outputs) / LANES,
               left = s->width - t.left, columns = left < across ? left : across;
    unsigned short *held = (unsigned short *)(memory + 2 * SUMS);
    NAME(hold)(s, &t, held);
    TILE_BARRIER;
    for (long first = 0; first < vectors; first += 2)
        for (long x = 0; x < columns; x += GROUP) {
            const long count = columns - x < GROUP ? columns - x : GROUP;
            const int lower = count > TILE_SIDE, right = vectors - first > 1;
            NAME(shape_tiles)(count);
            for (long y = t.top; y < t.bottom; y++) {
                const unsigned short *pixels = held + ((y - t.top) * (across + 2) + x) * halves;
                float *sums = memory + (s->unshuffled ? y % 2 * SUMS : 0);
                if (lower && right)
                    NAME(multiply_taps)(s, first, pixels, sums, 1, 1);
                else if (lower)
                    NAME(multiply_taps)(s, first, pixels, sums, 1, 0);
                else if (right)
                    NAME(multiply_taps)(s, first, pixels, sums, 0, 1);
                else
                    NAME(multiply_taps)(s, first, pixels, sums, 0, 0);
                const long rest = s->outputs - first * LANES, outputs = rest < 32 ? rest : 32;
                if (!s->unshuffled)
                    NAME(deliver)(s, sums, t.image, y, t.left + x, count, first * LANES, outputs);
                else if (y % 2)
                    NAME(deliver_unshuffled)(s, memory, t.image, y - 1, t.left + x, count, first * LANES, outputs);
            }
        }
    _tile_release();
}
