/* BODY, a header, once for every instruction set: with NAME, the name of x in this version; TARGET, the attribute that
 * selects the set; and LANES, the floats in a vector. */

#ifdef HAVE_X86_VERSIONS
#define TARGET TARGET_AVX512
#define NAME(x) x##_avx512
#define LANES 16
#include BODY
#undef TARGET
#undef NAME
#undef LANES

#define TARGET TARGET_AVX2
#define NAME(x) x##_avx2
#define LANES 8
#include BODY
#undef TARGET
#undef NAME
#undef LANES
#endif

#define TARGET
#define NAME(x) x##_plain
#define LANES 4
#include BODY
#undef TARGET
#undef NAME
#undef LANES
#undef BODY
