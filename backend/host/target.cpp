#include "backend/host/target.h"

#include <cpuid.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend/host/codes.h"

namespace heddle::host {
namespace {

constexpr const char* members[] = {"cpu/x86-64-v2", "cpu/avx2", "cpu/avx512", "cpu/amx"};
enum Member { v2, avx2, avx512, amx };

// Words of a member beyond those of the member before.
const std::vector<std::string>& words(Member member) {
  static const std::vector<std::string> table[] = {
      {"+cx8", "+cx16", "+fxsr", "+mmx", "+sahf", "+sse", "+sse2", "+sse3", "+ssse3", "+sse4.1", "+sse4.2", "+popcnt"},
      {"+avx", "+avx2", "+fma", "+f16c", "+bmi", "+bmi2", "+lzcnt", "+movbe", "+xsave"},
      {"+avx512f", "+avx512bw", "+avx512cd", "+avx512dq", "+avx512vl"},
      {"+amx-tile", "+amx-bf16", "+amx-int8"},
  };
  return table[member];
}

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};
Registers cpuid(unsigned leaf, unsigned sub = 0) {
  Registers r;
  __get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d);
  return r;
}
bool bit(unsigned word, int place) { return (word >> place) & 1; }

// The state that the system saves for each thread: XCR0.
uint64_t saved_state() {
  if (!bit(cpuid(1).c, 27)) return 0;
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

// The kernel grants tile state on request, once for the process; asking again is harmless.
bool tile_state_granted() {
  constexpr long request_permission = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

struct Machine {
  bool has[4] = {};
  bool vnni = false, bf16 = false;
};

Machine look() {
  Machine m;
  const Registers one = cpuid(1), seven = cpuid(7), seven_1 = cpuid(7, 1), extended = cpuid(0x80000001);
  const uint64_t state = saved_state();
  // SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT
  m.has[v2] = bit(one.c, 0) && bit(one.c, 9) && bit(one.c, 13) && bit(one.c, 19) && bit(one.c, 20) && bit(one.c, 23);
  // FMA, MOVBE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT; the system saves xmm and ymm
  m.has[avx2] = m.has[v2] && bit(one.c, 12) && bit(one.c, 22) && bit(one.c, 28) && bit(one.c, 29) && bit(seven.b, 3) &&
                bit(seven.b, 5) && bit(seven.b, 8) && bit(extended.c, 5) && (state & 0x6) == 0x6;
  // F, DQ, CD, BW, VL; masks and the upper halves are saved
  m.has[avx512] = m.has[avx2] && bit(seven.b, 16) && bit(seven.b, 17) && bit(seven.b, 28) && bit(seven.b, 30) &&
                  bit(seven.b, 31) && (state & 0xE6) == 0xE6;
  m.vnni = bit(seven.c, 11);
  m.bf16 = bit(seven_1.a, 5);
  // AMX-BF16, AMX-TILE, AMX-INT8; tile configuration and data are saved, and the kernel lets us use them
  m.has[amx] = m.has[avx512] && bit(seven.d, 22) && bit(seven.d, 24) && bit(seven.d, 25) &&
               (state & 0x60000) == 0x60000 && tile_state_granted();
  return m;
}

// What does not change while a process runs; asking a virtual machine takes microseconds each time.
const Machine& machine() {
  static const Machine found = look();
  return found;
}

int processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

ir::Target make(Member member, const Machine& on) {
  ir::Target t;
  t.name = members[member];
  t.vector_bytes = member >= avx512 ? 64 : member == avx2 ? 32 : 16;
  t.vector_registers = member >= avx512 ? 32 : 16;
  t.has_fma = member >= avx2;
  t.has_masks = member >= avx512;
  t.has_amx = member == amx;
  t.has_vnni = member >= avx512 && on.vnni;
  t.has_bf16 = member >= avx512 && on.bf16;
  for (int m = v2; m <= member; ++m) {
    const auto& more = words(static_cast<Member>(m));
    t.features.insert(t.features.end(), more.begin(), more.end());
  }
  if (t.has_vnni) t.features.push_back("+avx512vnni");
  if (t.has_bf16) t.features.push_back("+avx512bf16");
  // LLVM prefers 256-bit vectors on processors that clock down for wider ones; those met here do not.
  if (member >= avx512) t.features.push_back("-prefer-256-bit");
  t.cores = processors();
  return t;
}

Result<Member> member_of(const std::string& name) {
  for (int m = v2; m <= amx; ++m)
    if (name == members[m]) return static_cast<Member>(m);
  Diagnostic unknown(codes::unknown_target, {}, "unknown target `" + name + "`");
  std::vector<std::string> known = target_names();
  known.push_back("cpu");
  const std::string near = nearest(name, known);
  return std::move(unknown).with_help(near.empty() ? "targets: cpu, cpu/x86-64-v2, cpu/avx2, cpu/avx512, cpu/amx"
                                                   : "did you mean `" + near + "`?");
}

}  // namespace

ir::Target host_target() {
  Member best = v2;
  for (int m = v2; m <= amx; ++m)
    if (machine().has[m]) best = static_cast<Member>(m);
  return make(best, machine());
}

Result<ir::Target> target_named(const std::string& name) {
  if (name == "cpu" || name == "auto" || name.empty()) return host_target();
  Result<Member> member = member_of(name);
  if (!member) return member.errors();
  if (!machine().has[*member])
    return Diagnostic(codes::missing_target, {}, "this machine cannot run `" + name + "`")
        .with_help("the best it can is `" + host_target().name + "`; `emit` prints code for other targets");
  return make(*member, machine());
}

Result<ir::Target> target_for_emission(const std::string& name) {
  if (name == "cpu" || name == "auto" || name.empty()) return host_target();
  Result<Member> member = member_of(name);
  if (!member) return member.errors();
  return make(*member, Machine{});
}

std::vector<std::string> target_names() { return {std::begin(members), std::end(members)}; }

}  // namespace heddle::host
