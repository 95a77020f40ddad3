// Sysfs: writes to /sys/kernel/mm/transparent_hugepage while the kernel runs.
//
// Models:      the files of khugepaged.md 8.2: what they accept, and whom a write wakes, starts or stops.
// Time:        none of its own; khugepaged reacts from this moment on.
// Source:      khugepaged.md 2.1, 2.3, 8.2.
#pragma once

#include <string_view>

#include "models/kernel/kernel.h"

namespace collapsar {

// Writes `value`, with or without the end of its line, to `file` (relative to transparent_hugepage/: "enabled",
// "khugepaged/max_ptes_none", ...). Returns 0, or EINVAL (the file refuses the value), EACCES (the file can only be read),
// ENOENT (no such file).
int write_sysfs(Kernel& kernel, std::string_view file, std::string_view value);

}  // namespace collapsar
