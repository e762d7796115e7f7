/* One instruction set's version of the dense 3x3 convolution from few inputs, as images have them, straight from its
 * definition: what Winograd's windows would save is less than their transforms cost. Sums go over inputs, rows and
 * columns, then comes the bias, which is what torch does in plain layout with one input, and with more in small images:
 * near-ties of the routing behind it fall as there. Included by convolution.c once per set. */

#define VF NAME(vector)
#define VI NAME(integers)

/* The results at `height` neighbouring pixels, of which `pixels` are wanted, and `vectors` vectors of outputs; rows:
 * three of the map, `apart` floats apart, from the pixel before the first. */
static inline __attribute__((always_inline)) TARGET void NAME(image_tile)(const struct convolution *s,
    const float *rows, long apart, long first, float *out, long pixels, const int height, const int vectors) {
    const float *columns = s->packed + first * 9 * s->inputs * LANES;
    VF sums[2 * TILE_ROWS][TILE_VECTORS];
    for (int v = 0; v < vectors; v++)
        for (int i = 0; i < height; i++) sums[i][v] = (VF){0};
    for (long k = 0; k < s->inputs; k++)
        for (long tap = 0; tap < 9; tap++) {
            const float *from = rows + tap / 3 * apart + tap % 3 * s->inputs + k;
            VF column[TILE_VECTORS];
            for (int v = 0; v < vectors; v++)
                column[v] = NAME(load)(columns + ((v * s->inputs + k) * 9 + tap) * LANES, LANES);
            for (int i = 0; i < height; i++) {
                const VF entry = from[i * s->inputs] - (VF){0};
                for (int v = 0; v < vectors; v++) sums[i][v] += entry * column[v];
            }
        }
    for (int v = 0; v < vectors; v++) {
        const long c = (first + v) * LANES, left = s->outputs - c;
        const VF bias = s->bias ? NAME(load)(s->bias + c, LANES) : (VF){0};
        for (int i = 0; i < height && i < pixels; i++)
            if (left >= LANES)
                NAME(store)(out + i * s->outputs + c, sums[i][v] + bias, LANES);
            else
                NAME(store)(out + i * s->outputs + c, sums[i][v] + bias, (int)left);
    }
}

static long NAME(image_row_floats)(const struct convolution *s) { return (s->width + 2 + 2 * TILE_ROWS) * s->inputs; }

static long NAME(image_workspace)(const struct convolution *s) { return 3 * NAME(image_row_floats)(s); }

/* Row i of all images; `packed` is (vectors, inputs, 3, 3, lanes). */
static TARGET void NAME(image_row)(const struct convolution *s, long i, float *memory) {
    const long c = s->inputs, y = i % s->height, apart = NAME(image_row_floats)(s),
               vectors = PADDED(s->outputs) / LANES, step = vectors == 1 ? 2 * TILE_ROWS : TILE_ROWS;
    const size_t bytes = (size_t)(s->width * c) * sizeof(float);
    memset(memory, 0, (size_t)NAME(image_workspace)(s) * sizeof(float));
    for (long dy = -1; dy <= 1; dy++)
        if (y + dy >= 0 && y + dy < s->height)
            memcpy(memory + (dy + 1) * apart + c, s->x + (i + dy) * s->width * c, bytes);
    for (long left = 0; left < s->width; left += step) {
        const float *from = memory + left * c;
        float *out = s->out + (i * s->width + left) * s->outputs;
        const long pixels = s->width - left;
        if (vectors == 1) NAME(image_tile)(s, from, apart, 0, out, pixels, 2 * TILE_ROWS, 1);
        for (long first = 0; vectors > 1 && first < vectors; first += TILE_VECTORS)
            switch (vectors - first) {
            case 1: NAME(image_tile)(s, from, apart, first, out, pixels, TILE_ROWS, 1); break;
#if LANES == 16
            case 2: NAME(image_tile)(s, from, apart, first, out, pixels, TILE_ROWS, 2); break;
            case 3: NAME(image_tile)(s, from, apart, first, out, pixels, TILE_ROWS, 3); break;
#endif
            default: NAME(image_tile)(s, from, apart, first, out, pixels, TILE_ROWS, TILE_VECTORS);
            }
    }
}

#undef VF
#undef VI
