// The C header of code made ahead of time: what `entry` of emit.h exports, as C sees it.
#pragma once

#include <string>
#include <vector>

#include "ir/program.h"

namespace heddle::host {

/// `name`: of the function, a C identifier. `checks`: texts of the program's checks on data, for the comment.
std::string c_header(const ir::Program& program, const std::string& name, const std::string& target,
                     const std::vector<ir::Check>& checks);

/// A C identifier from a name with dots; a word of C gets a `_` behind.
std::string c_name(const std::string& name);

}  // namespace heddle::host
