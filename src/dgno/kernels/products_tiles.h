/* Products of bfloat16 in the tiles of AMX: included by products.h in the version of 16 lanes, after round_row.
 *
 * A tile is 16 rows of 64 bytes: 16 x 16 sums in float32, 16 rows of 16 pairs of inputs, or 16 such pairs of the packed
 * matrix, whose layout is the one that the instruction wants. 32 rows and two vectors of sums stay in tiles while the
 * inputs are walked once. As without tiles a row does not depend on those beside it. The compiler does not know that
 * the instructions read memory: TILE_BARRIER says so. */

#define TILED_ROWS 64 /* rounded at a time */
#define TILE_SIDE 16  /* rows of a tile; pairs of inputs in one of its rows */
#define TILE_BARRIER __asm__ volatile("" ::: "memory")

/* Which of the eight tiles are factors of whole tiles, and of the pairs that remain; sums are 0 to 3. */
#define ROWS_TILE 4
#define MATRIX_TILE 5
#define LAST_ROWS_TILE 6
#define LAST_MATRIX_TILE 7

struct NAME(tile_shapes) { /* what the processor reads */
    unsigned char palette, start, reserved[14];
    unsigned short bytes[16];
    unsigned char rows[16];
};

static TARGET_TILES void NAME(shape_tiles)(long left) { /* pairs beyond whole tiles */
    struct NAME(tile_shapes) shapes = {1, 0, {0}, {0}, {0}};
    for (int i = 0; i < LAST_ROWS_TILE; i++) shapes.bytes[i] = 64, shapes.rows[i] = TILE_SIDE;
    if (left) {
        shapes.bytes[LAST_ROWS_TILE] = (unsigned short)(4 * left), shapes.rows[LAST_ROWS_TILE] = TILE_SIDE;
        shapes.bytes[LAST_MATRIX_TILE] = 64, shapes.rows[LAST_MATRIX_TILE] = (unsigned char)left;
    }
    TILE_BARRIER;
    _tile_loadconfig(&shapes);
}

/* sums (0 1; 2 3) += rows (upper; lower) times columns (left, right) */
#define ADD_TILES(rows_tile, matrix_tile, k)                                                                          \
    do {                                                                                                              \
        _tile_loadd(rows_tile, rows + 32 * (k), 2 * width);                                                           \
        _tile_loadd(matrix_tile, columns + 512 * (k), 64);                                                            \
        _tile_dpbf16ps(0, rows_tile, matrix_tile);                                                                    \
        if (lower) {                                                                                                  \
            _tile_loadd(rows_tile, rows + TILE_SIDE * width + 32 * (k), 2 * width);                                   \
            _tile_dpbf16ps(2, rows_tile, matrix_tile);                                                                \
        }                                                                                                             \
        if (right) {                                                                                                  \
            _tile_loadd(matrix_tile, columns + 32 * pairs + 512 * (k), 64);                                           \
            if (lower) _tile_dpbf16ps(3, rows_tile, matrix_tile);                                                     \
            if (lower) _tile_loadd(rows_tile, rows + 32 * (k), 2 * width);                                            \
            _tile_dpbf16ps(1, rows_tile, matrix_tile);                                                                \
        }                                                                                                             \
    } while (0)

#define START_TILE(tile, vector)                                                                                      \
    do {                                                                                                              \
        if (m->bias)                                                                                                  \
            _tile_loadd(tile, m->bias + (vector) * TILE_SIDE, 0); /* the same in all rows */                          \
        else                                                                                                          \
            _tile_zero(tile);                                                                                         \
    } while (0)

#define STORE_TILE(tile, from, vector)                                                                                \
    do {                                                                                                              \
        float *const to = out + (from) * out_stride + (vector) * TILE_SIDE;                                           \
        if (count - (from) >= TILE_SIDE) {                                                                            \
            _tile_stored(tile, to, 4 * out_stride);                                                                   \
        } else {                                                                                                      \
            _tile_stored(tile, spare, 64);                                                                            \
            TILE_BARRIER;                                                                                             \
            for (long i = 0; i < count - (from); i++) memcpy(to + i * out_stride, spare + i * TILE_SIDE, 64);         \
        }                                                                                                             \
    } while (0)

/* 16 rows, or 32 if there are `lower` ones, of vector `first`, and of the next if there is one to its right. */
static inline __attribute__((always_inline)) TARGET_TILES void NAME(add_tiles)(const struct matrix *m, long first,
    const unsigned short *rows, long width, long count, float *out, long out_stride, const int lower,
    const int right) {
    const long pairs = (m->inputs + 1) / 2, whole = pairs / TILE_SIDE;
    const unsigned short *columns = (const unsigned short *)m->packed + first * pairs * 32;
    float spare[TILE_SIDE * TILE_SIDE];
    START_TILE(0, first);
    if (right) START_TILE(1, first + 1);
    if (lower) START_TILE(2, first);
    if (lower && right) START_TILE(3, first + 1);
    for (long k = 0; k < whole; k++) ADD_TILES(ROWS_TILE, MATRIX_TILE, k);
    if (pairs % TILE_SIDE) ADD_TILES(LAST_ROWS_TILE, LAST_MATRIX_TILE, whole);
    STORE_TILE(0, 0, first);
    if (right) STORE_TILE(1, 0, first + 1);
    if (lower) STORE_TILE(2, TILE_SIDE, first);
    if (lower && right) STORE_TILE(3, TILE_SIDE, first + 1);
}

static TARGET_TILES void NAME(tiles_product)(
    const struct matrix *m, long count, const float *rows, long stride, float *out, long out_stride) {
    const long width = (m->inputs + 31) / 32 * 32;
    unsigned short half[TILED_ROWS * 2 * MOST_PAIRS];
    NAME(shape_tiles)((m->inputs + 1) / 2 % TILE_SIDE);
    for (long start = 0; start < count; start += TILED_ROWS) {
        const long some = count - start < TILED_ROWS ? count - start : TILED_ROWS;
        for (long i = 0; i < some; i++) NAME(round_row)(rows + (start + i) * stride, m->inputs, half + i * width);
        TILE_BARRIER;
        for (long first = 0; first < m->vectors; first += 2)
            for (long i = 0; i < some; i += 2 * TILE_SIDE) {
                const unsigned short *from = half + i * width;
                float *to = out + (start + i) * out_stride;
                const int lower = some - i > TILE_SIDE, right = m->vectors - first > 1;
                if (lower && right)
                    NAME(add_tiles)(m, first, from, width, some - i, to, out_stride, 1, 1);
                else if (lower)
                    NAME(add_tiles)(m, first, from, width, some - i, to, out_stride, 1, 0);
                else if (right)
                    NAME(add_tiles)(m, first, from, width, some - i, to, out_stride, 0, 1);
                else
                    NAME(add_tiles)(m, first, from, width, some - i, to, out_stride, 0, 0);
            }
    }
    TILE_BARRIER;
    _tile_release();
}
