/* The instruction sets for which the kernels are compiled, and the choice among them at run time. */

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86_VERSIONS 1
#define TARGET_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma,prefer-vector-width=512")))
#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#endif

enum { PLAIN, AVX2, AVX512 }; /* widest last */

static inline const char *version_name(int version) {
    static const char *const names[] = {"plain", "avx2", "avx512"};
    return names[version];
}

/* The widest version that this processor can run. */
static inline int best_version(void) {
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
