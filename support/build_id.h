// Which build of a library or program runs: the linker's build id, a digest of its content.
#pragma once

#include <string>

namespace heddle {

/// The build id of the loaded file that holds an address, as hexadecimal digits; empty where its linker wrote none.
std::string build_id(const void* address);

}  // namespace heddle
