#include "support/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstring>

namespace heddle {
namespace {

struct Search {
  uintptr_t address = 0;
  std::string id;
};

std::string id_of_notes(const unsigned char* p, size_t size) {
  std::string out;
  for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
    ElfW(Nhdr) note;
    std::memcpy(&note, p + at, sizeof note);
    const size_t name = at + sizeof note, data = name + (note.n_namesz + 3) / 4 * 4;
    at = data + (note.n_descsz + 3) / 4 * 4;
    if (at > size) break;
    if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || std::memcmp(p + name, "GNU", 4) != 0) continue;
    for (size_t i = 0; i < note.n_descsz; ++i)
      out += "0123456789abcdef"[p[data + i] >> 4], out += "0123456789abcdef"[p[data + i] & 15];
    break;
  }
  return out;
}

int look(dl_phdr_info* info, size_t, void* closure) {
  auto* search = static_cast<Search*>(closure);
  bool holds = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& h = info->dlpi_phdr[i];
    const uintptr_t begin = info->dlpi_addr + h.p_vaddr;
    holds |= h.p_type == PT_LOAD && search->address >= begin && search->address - begin < h.p_memsz;
  }
  if (!holds) return 0;
  for (int i = 0; i < info->dlpi_phnum && search->id.empty(); ++i) {
    const auto& h = info->dlpi_phdr[i];
    if (h.p_type == PT_NOTE)
      search->id = id_of_notes(reinterpret_cast<const unsigned char*>(info->dlpi_addr + h.p_vaddr), h.p_memsz);
  }
  return 1;
}

}  // namespace

std::string build_id(const void* address) {
  Search search;
  search.address = reinterpret_cast<uintptr_t>(address);
  dl_iterate_phdr(look, &search);
  return search.id;
}

}  // namespace heddle
