/* The instruction sets for which the kernels are compiled, and the choice among them at run time. */

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAVE_X86_VERSIONS 1
#define TARGET_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma,prefer-vector-width=512")))
#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#if defined(__clang__) || __GNUC__ >= 10
#define HAVE_HALF 1 /* products of bfloat16 summed in float32 */
#define TARGET_HALF __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,fma,prefer-vector-width=512")))
#endif
#if defined(HAVE_HALF) && defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#define HAVE_TILES 1 /* the same by AMX: whole tiles of both factors in one instruction */
#define TARGET_TILES                                                                                                  \
    __attribute__((target(                                                                                            \
        "amx-tile,amx-bf16,avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,fma,prefer-vector-width=512")))
#endif
#endif

#ifdef HAVE_X86_VERSIONS
static const float ROOTS_OF_2[32] __attribute__((unused)) = { /* 2^(k / 32) */
    1.0f, 1.0218972f, 1.04427373f, 1.06714046f,
    1.09050775f, 1.1143868f, 1.13878858f, 1.1637249f,
    1.18920708f, 1.21524739f, 1.24185777f, 1.26905096f,
    1.29683959f, 1.32523668f, 1.35425556f, 1.38390994f,
    1.41421354f, 1.44518077f, 1.47682619f, 1.50916445f,
    1.54221082f, 1.5759809f, 1.61049032f, 1.64575553f,
    1.68179286f, 1.71861935f, 1.75625217f, 1.79470909f,
    1.8340081f, 1.87416768f, 1.91520655f, 1.95714414f,
};
#endif

enum { PLAIN, AVX2, AVX512 }; /* widest last */

static const long VERSION_LANES[] = {4, 8, 16}; /* floats in a vector */

/* What every library says of itself. */

/* The hash of the sources that it was compiled from, DGNO_SOURCES, as setup.py defines it by sources.py. */
const char *dgno_sources(void) { return DGNO_SOURCES; }

const char *dgno_version_name(int version) {
    static const char *const names[] = {"plain", "avx2", "avx512"};
    return names[version];
}

long dgno_version_lanes(int version) { return VERSION_LANES[version]; }

/* The widest version that this processor can run. */
int dgno_best_version(void) {
#ifdef HAVE_X86_VERSIONS
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    return avx2 && avx512 ? AVX512 : avx2 ? AVX2 : PLAIN;
#else
    return PLAIN;
#endif
}

/* Can this version multiply bfloat16 on this processor? */
int dgno_version_has_half(int version) {
#ifdef HAVE_HALF
    return version == AVX512 && dgno_best_version() == AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return 0 * version;
#endif
}

#ifdef HAVE_TILES
static int tiles_are_allowed = 1;

/* Has this processor AMX for bfloat16, and may this process use its registers? Linux wants to be asked. */
static int has_tiles(void) {
    enum { REQUEST = 0x1023, TILE_DATA = 18 };   /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
    const unsigned wanted = 1u << 22 | 1u << 24; /* AMX-BF16, AMX-TILE */
    static int known = -1;                       /* threads that find out at once find out the same */
    unsigned a, b, c, d;
    if (known < 0)
        known = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & wanted) == wanted &&
                syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
    return known;
}
#endif

/* Are products of bfloat16 computed in tiles, if asked for? */
int dgno_version_has_tiles(int version) {
#ifdef HAVE_TILES
    return dgno_version_has_half(version) && tiles_are_allowed && has_tiles();
#else
    return 0 * version;
#endif
}

/* Compute without tiles where it says 0, for tests and benchmarks; not while a kernel runs. */
void dgno_allow_tiles(int allowed) {
#ifdef HAVE_TILES
    tiles_are_allowed = allowed;
#else
    (void)allowed;
#endif
}
