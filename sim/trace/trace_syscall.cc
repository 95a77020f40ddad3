#include "sim/trace/trace_syscall.h"

#include <algorithm>

namespace collapsar {

namespace {

using Op = TraceEvent::Op;

struct Entry {
  Op op;
  std::uint64_t x86_64, aarch64;
  SyscallNeeds needs;
};
constexpr Entry kEntries[] = {
    {Op::mmap, 9, 222, {6, true}},     {Op::mprotect, 10, 226, {3, false}},     {Op::munmap, 11, 215, {2, false}},
    {Op::brk, 12, 214, {1, true}},     {Op::mremap, 25, 216, {4, true}},        {Op::madvise, 28, 233, {3, false}},
    {Op::mlock, 149, 228, {2, false}}, {Op::mlock, 325, 284, {2, false}},       {Op::munlock, 150, 229, {2, false}},
    {Op::exit, 231, 94, {0, false}},   {Op::thp_disable, 157, 167, {3, false}},
};

const Entry* find(std::uint64_t number, SyscallTable table) {
  for (const Entry& entry : kEntries)
    if ((table == SyscallTable::x86_64 ? entry.x86_64 : entry.aarch64) == number) return &entry;
  return nullptr;
}

}  // namespace

std::optional<SyscallNeeds> needs_of(std::uint64_t number, SyscallTable table) {
  const Entry* entry = find(number, table);
  return entry ? std::optional(entry->needs) : std::nullopt;
}

std::optional<TraceEvent> to_event(const SystemCall& call, SyscallTable table) {
  const Entry* entry = find(call.number, table);
  if (!entry) return std::nullopt;
  const auto& a = call.arguments;
  TraceEvent e;
  e.op = entry->op, e.address = a[0], e.length = a[1];
  if (e.op == Op::mmap) {
    e.address = call.result;
    e.prot = static_cast<std::uint32_t>(a[2]), e.map_flags = static_cast<std::uint32_t>(a[3]);
    if (!(a[3] & uapi::kMapAnonymous)) e.file = a[4] + 1, e.offset = a[5];  // by descriptor: nothing else is told
  } else if (e.op == Op::mprotect) {
    e.prot = static_cast<std::uint32_t>(a[2]);
  } else if (e.op == Op::brk) {
    e.address = call.result, e.length = 0;
  } else if (e.op == Op::mremap) {
    e.new_length = a[2], e.map_flags = static_cast<std::uint32_t>(a[3]), e.new_address = call.result;
  } else if (e.op == Op::madvise) {
    e.advice = static_cast<std::uint32_t>(a[2]);
  } else if (e.op == Op::exit) {
    e.address = e.length = 0;
  } else if (e.op == Op::thp_disable) {
    if (a[0] != uapi::kPrSetThpDisable) return std::nullopt;
    e.value = a[1] ? 1 | (a[2] & 2) : 0, e.address = e.length = 0;
  }
  return e;
}

}  // namespace collapsar
