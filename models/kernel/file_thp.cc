#include "models/kernel/file_thp.h"

#include "models/kernel/page_cache.h"

namespace collapsar {
namespace {

bool ends_within(std::uint64_t file_pages, std::uint64_t index) {
  return file_pages >= (index / kHugePages + 1) * kHugePages;
}

bool global_mode_allows(const KernelContext& kernel, const Vma& vma) {
  switch (kernel.config.thp.enabled) {
    case ThpEnabled::always: return true;
    case ThpEnabled::madvise: return vma.is(Vma::kHugePage);
    case ThpEnabled::never: return false;
  }
  return false;
}

}  // namespace

bool shmem_allows_huge(const KernelContext& kernel, const AddressSpace& mm, const Vma& vma, std::uint64_t index,
                       bool force) {
  const ShmemEnabled mode = kernel.config.thp.shmem_enabled;
  if (mode == ShmemEnabled::deny || mm.refuses_thp(vma, force)) return false;
  if (force) return true;
  switch (mode) {
    case ShmemEnabled::always:
    case ShmemEnabled::force: return true;
    case ShmemEnabled::within_size:
      return ends_within(kernel.page_cache->pages_of_file(vma.file), index) || vma.is(Vma::kHugePage);
    case ShmemEnabled::advise: return vma.is(Vma::kHugePage);
    case ShmemEnabled::never:
    case ShmemEnabled::deny: return false;
  }
  return false;
}

// A regular file: READ_ONLY_THP_FOR_FS (khugepaged.md 3.1 step 9).
bool file_thp_allowable(const KernelContext& kernel, const AddressSpace& mm, const Vma& vma, bool enforce_sysfs) {
  if (PageCache::is_shmem(vma.file)) return shmem_allows_huge(kernel, mm, vma, vma.pgoff, !enforce_sysfs);
  if (enforce_sysfs && !global_mode_allows(kernel, vma)) return false;
  if (kernel.rules.file_thp_needs_exec && !vma.is(Vma::kExec)) return false;
  return vma.file != 0 && !kernel.page_cache->is_open_for_write(vma.file);
}

}  // namespace collapsar
