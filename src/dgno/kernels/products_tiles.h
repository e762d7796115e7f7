/* Products in the tiles of AMX: included by products.h in the version of 16 lanes.
 *
 * A tile is 16 rows of 64 bytes: 16 x 16 sums in float32, 16 rows of 16 pairs of bfloat16 inputs, or 16 such pairs of
 * the packed matrix, whose layout is the one that the instruction wants. 32 rows and two vectors of sums stay in tiles
 * while the inputs are walked once. As without tiles a row does not depend on those beside it.
 *
 * A float is the sum a + b of two bfloat16, the second the rounded rest of the first, but for 2^-17 of it; of the
 * product of two such sums three are left, the smallest first:
 *
 *     (a + b) (a' + b') ~ b a' + a b' + a a'
 *
 * What is not finite stays so; parts and products below 2^-126 count as zeros. The compiler does not know that the
 * instructions read memory: TILE_BARRIER says so. */

#define TILE_SIDE 16 /* rows of a tile; pairs of inputs in one of its rows */
#define GROUP 32     /* rows of a group */
#define TILE_BARRIER __asm__ volatile("" ::: "memory")

/* Which of the eight tiles are factors; sums are 0 to 3. */
#define UPPER_TILE 4
#define LOWER_TILE 5
#define LEFT_TILE 6
#define RIGHT_TILE 7

struct NAME(tile_shapes) { /* what the processor reads */
    unsigned char palette, start, reserved[14];
    unsigned short bytes[16];
    unsigned char rows[16];
};

/* For groups of so many rows. */
static TARGET_TILES void NAME(shape_tiles)(long rows) {
    const unsigned char upper = (unsigned char)(rows < TILE_SIDE ? rows : TILE_SIDE),
                        lower = (unsigned char)(rows > TILE_SIDE ? rows - TILE_SIDE : 0);
    struct NAME(tile_shapes) shapes = {1, 0, {0}, {0}, {upper, upper, lower, lower, upper, lower, 16, 16}};
    for (int i = 0; i < 8; i++) shapes.bytes[i] = shapes.rows[i] ? 64 : 0;
    TILE_BARRIER;
    _tile_loadconfig(&shapes);
}

#define LOAD_ROWS(part)                                                                                               \
    do {                                                                                                              \
        _tile_loadd(UPPER_TILE, rows + (part) * GROUP * row + 32 * k, 2 * row);                                   \
        if (lower) _tile_loadd(LOWER_TILE, rows + ((part) * GROUP + TILE_SIDE) * row + 32 * k, 2 * row);          \
    } while (0)

#define LOAD_COLUMNS(part)                                                                                            \
    do {                                                                                                              \
        _tile_loadd(LEFT_TILE, columns + (part) * size + 512 * k, 64);                                                \
        if (right) _tile_loadd(RIGHT_TILE, columns + (part) * size + 512 * (blocks + k), 64);                         \
    } while (0)

#define ADD_PRODUCTS                                                                                                  \
    do {                                                                                                              \
        _tile_dpbf16ps(0, UPPER_TILE, LEFT_TILE);                                                                     \
        if (right) _tile_dpbf16ps(1, UPPER_TILE, RIGHT_TILE);                                                         \
        if (lower) _tile_dpbf16ps(2, LOWER_TILE, LEFT_TILE);                                                          \
        if (lower && right) _tile_dpbf16ps(3, LOWER_TILE, RIGHT_TILE);                                                \
    } while (0)

#define START_TILE(tile, vector)                                                                                      \
    do {                                                                                                              \
        if (m->bias)                                                                                                  \
            _tile_loadd(tile, m->bias + (vector) * TILE_SIDE, 0); /* the same in all rows */                          \
        else                                                                                                          \
            _tile_zero(tile);                                                                                         \
    } while (0)

#define STORE_TILE(tile, from, vector)                                                                                \
    _tile_stored(tile, out + (from) * out_stride + (vector) * TILE_SIDE, 4 * out_stride)

/* Up to 16 rows, or 32 if there are `lower` ones, of vector `first`, and of the next if there is one to its right. */
static inline __attribute__((always_inline)) TARGET_TILES void NAME(add_tiles)(const struct matrix *m, long first,
    const unsigned short *rows, float *out, long out_stride, const int lower, const int right, const int parts) {
    const long blocks = INPUT_BLOCKS(m->inputs), row = blocks * 32, size = m->vectors * blocks * 512;
    const unsigned short *columns = (const unsigned short *)m->packed + first * blocks * 512;
    START_TILE(0, first);
    if (right) START_TILE(1, first + 1);
    if (lower) START_TILE(2, first);
    if (lower && right) START_TILE(3, first + 1);
    for (long k = 0; k < blocks; k++) {
        if (parts > 1) {
            LOAD_ROWS(1);
            LOAD_COLUMNS(0);
            ADD_PRODUCTS;
            LOAD_ROWS(0);
            LOAD_COLUMNS(1);
            ADD_PRODUCTS;
            LOAD_COLUMNS(0);
            ADD_PRODUCTS;
        } else {
            LOAD_ROWS(0);
            LOAD_COLUMNS(0);
            ADD_PRODUCTS;
        }
    }
    STORE_TILE(0, 0, first);
    if (right) STORE_TILE(1, 0, first + 1);
    if (lower) STORE_TILE(2, TILE_SIDE, first);
    if (lower && right) STORE_TILE(3, TILE_SIDE, first + 1);
}

/* 16 floats as two parts each. */
static inline __attribute__((always_inline)) TARGET_TILES void NAME(split)(__m512 floats, __m256i parts[2]) {
    parts[0] = (__m256i)_mm512_cvtneps_pbh(floats);
    floats -= (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(parts[0]), 16);
    parts[1] = (__m256i)_mm512_cvtneps_pbh(floats);
}

/* A row as two rows of parts, so far apart; zeros up to whole tiles behind them. */
static TARGET_TILES void NAME(split_row)(const float *row, long inputs, unsigned short *out, long apart) {
    for (long k = 0; k < 32 * INPUT_BLOCKS(inputs); k += 16) {
        const long left = inputs - k;
        const __mmask16 lanes = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
        __m256i parts[2];
        NAME(split)(_mm512_maskz_loadu_ps(lanes, row + k), parts);
        for (long part = 0; part < 2; part++) _mm256_storeu_si256((__m256i *)(out + part * apart + k), parts[part]);
    }
}

/* Entries of a vector of outputs at input k to where packed matrices of two parts, one after the other, have them. */
static TARGET_TILES __attribute__((unused)) void NAME(pack_parts)(
    unsigned short *packed, long inputs, long vectors, long matrix, long vector, long k, VF entries) {
    const long size = 512 * INPUT_BLOCKS(inputs);
    unsigned short *out = packed + (2 * matrix * vectors + vector) * size + k / 2 * 32 + k % 2, of_lanes[2][16];
    __m256i parts[2];
    NAME(split)((__m512)entries, parts);
    memcpy(of_lanes, parts, sizeof parts);
    for (long part = 0; part < 2; part++)
        for (long lane = 0; lane < 16; lane++) out[part * vectors * size + 2 * lane] = of_lanes[part][lane];
}

/* A group of rows, whose parts are GROUP rows apart. */
static inline __attribute__((always_inline)) TARGET_TILES void NAME(multiply_group)(const struct matrix *m, long count,
    const unsigned short *rows, float *out, long out_stride, const int parts) {
    const int lower = count > TILE_SIDE;
    for (long first = 0; first < m->vectors; first += 2) {
        const int right = m->vectors - first > 1;
        if (lower && right)
            NAME(add_tiles)(m, first, rows, out, out_stride, 1, 1, parts);
        else if (lower)
            NAME(add_tiles)(m, first, rows, out, out_stride, 1, 0, parts);
        else if (right)
            NAME(add_tiles)(m, first, rows, out, out_stride, 0, 1, parts);
        else
            NAME(add_tiles)(m, first, rows, out, out_stride, 0, 0, parts);
    }
}

static TARGET_TILES void NAME(tiles_product)(
    const struct matrix *m, long count, const float *rows, long stride, float *out, long out_stride) {
    const long width = 32 * INPUT_BLOCKS(m->inputs);
    unsigned short parts[2 * GROUP * 2 * MOST_PAIRS];
    for (long start = 0; start < count; start += GROUP) {
        const long some = count - start < GROUP ? count - start : GROUP;
        const float *from = rows + start * stride;
        float *to = out + start * out_stride;
        if (!start || some < GROUP) NAME(shape_tiles)(some);
        for (long i = 0; i < some; i++)
            if (m->parts > 1)
                NAME(split_row)(from + i * stride, m->inputs, parts + i * width, GROUP * width);
            else
                NAME(round_row)(from + i * stride, m->inputs, parts + i * width);
        TILE_BARRIER;
        if (m->parts > 1)
            NAME(multiply_group)(m, some, parts, to, out_stride, 2);
        else
            NAME(multiply_group)(m, some, parts, to, out_stride, 1);
    }
    TILE_BARRIER;
    _tile_release();
}
