#include "models/kernel/sysfs.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

namespace collapsar {
namespace {

std::optional<std::uint64_t> number(std::string_view text, std::uint64_t most) {
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n > most) return std::nullopt;
  return n;
}

template <class E>
std::optional<E> choice(std::string_view text) {
  for (const auto& [name, value] : EnumNames<E>::names)
    if (name == text) return value;
  return std::nullopt;
}

template <class T>
int store(T& knob, const auto& value) {
  if (!value) return EINVAL;
  knob = T(*value);
  return 0;
}

constexpr std::uint64_t kAnyCount = 0xffff'ffff;  // unsigned int of the kernel

int write_enabled(Kernel& kernel, std::string_view value) {
  if (const int error = store(kernel.config().thp.enabled, choice<ThpEnabled>(value))) return error;
  kernel.thp_switched();
  return 0;
}

int write_shmem_enabled(Kernel& kernel, std::string_view value) {
  if (const int error = store(kernel.config().thp.shmem_enabled, choice<ShmemEnabled>(value))) return error;
  kernel.thp_switched();
  return 0;
}

int write_size_enabled(Kernel& kernel, std::string_view value) {
  if (!kernel.context().rules.per_size_controls) return ENOENT;
  if (const int error = store(kernel.config().thp.pmd_size.enabled, choice<SizeEnabled>(value))) return error;
  kernel.thp_switched();
  return 0;
}

int write_flag(bool& flag, std::string_view value) { return store(flag, number(value, 1)); }

int write_limit(std::uint64_t& limit, std::string_view value) { return store(limit, number(value, kHugePages - 1)); }

int write_pages_to_scan(Kernel& kernel, std::string_view value) {
  const auto pages = number(value, kAnyCount);
  return store(kernel.config().khugepaged.pages_to_scan, pages == 0 ? std::nullopt : pages);
}

int write_sleep(Kernel& kernel, Duration KhugepagedConfig::*sleep, std::string_view value) {
  const auto ms = number(value, kAnyCount);
  if (!ms) return EINVAL;
  kernel.config().khugepaged.*sleep = std::chrono::milliseconds(std::int64_t(*ms));
  kernel.khugepaged().sleep_knob_written();
  return 0;
}

}  // namespace

int write_sysfs(Kernel& kernel, std::string_view file, std::string_view value) {
  if (value.ends_with('\n')) value.remove_suffix(1);  // as echo writes it
  ThpConfig& thp = kernel.config().thp;
  KhugepagedConfig& daemon = kernel.config().khugepaged;
  if (file == "enabled") return write_enabled(kernel, value);
  if (file == "hugepages-2048kB/enabled") return write_size_enabled(kernel, value);
  if (file == "defrag") return store(thp.defrag, choice<ThpDefrag>(value));
  if (file == "shmem_enabled") return write_shmem_enabled(kernel, value);
  if (file == "use_zero_page") return write_flag(thp.use_zero_page, value);
  if (file == "shrink_underused" && kernel.context().rules.deferred_list_for_all)
    return write_flag(thp.shrink_underused, value);
  if (file == "khugepaged/defrag") return write_flag(daemon.defrag, value);
  if (file == "khugepaged/pages_to_scan") return write_pages_to_scan(kernel, value);
  if (file == "khugepaged/scan_sleep_millisecs") return write_sleep(kernel, &KhugepagedConfig::scan_sleep, value);
  if (file == "khugepaged/alloc_sleep_millisecs") return write_sleep(kernel, &KhugepagedConfig::alloc_sleep, value);
  if (file == "khugepaged/max_ptes_none") return write_limit(daemon.max_ptes_none, value);
  if (file == "khugepaged/max_ptes_swap") return write_limit(daemon.max_ptes_swap, value);
  if (file == "khugepaged/max_ptes_shared") return write_limit(daemon.max_ptes_shared, value);
  for (const char* read_only : {"hpage_pmd_size", "khugepaged/full_scans", "khugepaged/pages_collapsed"})
    if (file == read_only) return EACCES;
  return ENOENT;
}

}  // namespace collapsar
