// System calls of the traced program as events of its address space.
//
// Models:      mmap, munmap, mprotect, mremap, madvise, brk, mlock, mlock2, munlock, prctl(PR_SET_THP_DISABLE), exit_group.
// Source:      arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (AArch64), Linux 6.12.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "sim/trace/trace.h"

namespace collapsar {

namespace uapi {
inline constexpr std::uint64_t kMapPrivate = 2, kMapAnonymous = 0x20;  // include/uapi/asm-generic/mman-common.h
inline constexpr std::uint64_t kPrSetThpDisable = 41;                  // include/uapi/linux/prctl.h
}  // namespace uapi

enum class SyscallTable : std::uint8_t { x86_64, aarch64 };

struct SystemCall {
  std::uint64_t number = 0;
  std::array<std::uint64_t, 6> arguments{};
  std::uint64_t result = 0;
};

// A call that succeeded; nullopt if it says nothing of the address space. pid, tid, index and stamp are the caller's.
std::optional<TraceEvent> to_event(const SystemCall& call, SyscallTable table);

// How many arguments to_event() looks at, and whether at the result; nullopt for a call that does not matter.
struct SyscallNeeds {
  std::size_t arguments = 0;
  bool result = false;
};
std::optional<SyscallNeeds> needs_of(std::uint64_t number, SyscallTable table);

}  // namespace collapsar
