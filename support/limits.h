// Every limit on input, in one place. Each has a diagnostic that names it; a step whose result would print past one is refused,
// so printed text is always legal input.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heddle::limits {

inline constexpr uint32_t source_bytes = 1u << 20;  // ANTLR lexes about 2-3 MiB a second
inline constexpr uint32_t tokens = 60'000;          // about 2 us each to parse
inline constexpr int nesting = 256;                 // brackets and nested expressions; 4,000 overflow a 512 KiB stack
inline constexpr int chain = 1'000;     // terms of one flat a + b + c chain; the tree is as deep as the chain
inline constexpr int diagnostics = 20;  // shown per text
inline constexpr int rank = 16;         // dims of a tensor, axes of a stage
inline constexpr int parameters = 64;   // of an op
inline constexpr int stages = 1'000;
inline constexpr int calls = 32;                   // ops that call ops, nested
inline constexpr size_t imports = 200;             // files that one text brings in
inline constexpr size_t imported_steps = 5'000;    // with those that imported texts import, by each way
inline constexpr int called_stages = 10'000;       // that the calls of a text make, all together; about 10 us each
inline constexpr int steps = 1'000;                // of one schedule, derived ones expanded
inline constexpr int64_t split_factor = 1 << 20;   // iterations of an inner loop: a guarded one runs them all
inline constexpr int loop_nesting = 200;           // statements inside each other; each is a level of nesting in print
inline constexpr int64_t unroll_product = 4'096;   // leaf copies that unrolling one nest may make
inline constexpr int64_t bounded_extent = 4'096;   // a larger bound of an extent is not taken for its size
inline constexpr int64_t register_bytes = 2'048;   // a constant box that compute_at puts in registers by default
inline constexpr int64_t vector_extent = 256;      // constant extent of a vector loop
inline constexpr int64_t program_nodes = 200'000;  // statements and expressions of one program

}  // namespace heddle::limits
