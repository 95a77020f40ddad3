#include "models/kernel/address_space.h"

#include <algorithm>

#include "models/kernel/file_thp.h"

namespace collapsar {

namespace {

// Where the search for room begins: Linux mmap_base() on x86-64 without address randomisation, 128 MiB below the end of
// user space.
constexpr VirtAddr kMmapBase{0x7fff'f7ff'f000};
constexpr VirtAddr kMmapFloor{0x10000};  // vm.mmap_min_addr of most distributions

}  // namespace

AddressSpace::AddressSpace(KernelContext& kernel, Asid asid, std::uint32_t pid)
    : kernel_(kernel),
      asid_(asid),
      pid_(pid),
      mmap_lock_(kernel.queue,
                 {&kernel.stats.stall.mmap_lock_ns, &kernel.stats.stall.collapse_ns, kernel.spans, "mmap_lock", pid}),
      table_(kernel.memory, kernel.page_table_levels),
      pte_stalls_{nullptr, &kernel.stats.stall.collapse_ns, kernel.spans, "page-table lock", pid} {}

AddressSpace::~AddressSpace() = default;

// --- finding ---

Vma* AddressSpace::first_ending_above(VirtAddr va) {
  auto it = vmas_.upper_bound(va.value);
  if (it != vmas_.begin() && std::prev(it)->second.range.end > va) --it;
  return it == vmas_.end() ? nullptr : &it->second;
}

Vma* AddressSpace::find(VirtAddr va) {
  Vma* vma = first_ending_above(va);
  return vma && vma->range.start <= va ? vma : nullptr;
}

VirtAddr AddressSpace::find_free(std::uint64_t bytes, std::uint64_t alignment) const {
  VirtAddr ceiling = kMmapBase;
  for (auto it = vmas_.rbegin();; ++it) {
    const VirtAddr floor = it == vmas_.rend() ? kMmapFloor : it->second.range.end;
    if (floor < ceiling && ceiling - floor >= bytes) {
      const VirtAddr at = align_down(ceiling - bytes, alignment);
      if (at >= floor) return at;
    }
    if (it == vmas_.rend())
      throw SimulationError(
          fmt::format("process {}: no room for a mapping of {} in its address space", pid_, to_text(Bytes{bytes})));
    ceiling = std::min(ceiling, it->second.range.start);
  }
}

MappingId AddressSpace::mapping_named(const std::string& name) {
  const auto it = std::find_if(mappings_.begin(), mappings_.end(), [&](const Mapping& m) { return m.name == name; });
  const auto id = MappingId(it - mappings_.begin());
  if (it == mappings_.end()) mappings_.push_back({.name = name});
  return id;
}

// --- adding, cutting, removing ---

void AddressSpace::cut_at(VirtAddr at) {
  Vma* vma = find(at);
  if (!vma || vma->range.start == at) return;
  SIM_ASSERT(vma->fault_readers == 0, "the VMA at {:#x} is cut under a fault", vma->range.start.value);
  Vma high = vma->cut({at, vma->range.end});
  vma->range.end = at;
  vmas_.emplace(at.value, std::move(high));
}

void AddressSpace::split_at(VirtRange range) { cut_at(range.start), cut_at(range.end); }

Vma* AddressSpace::insert(const Vma& vma) {
  SIM_ASSERT(!vma.range.empty() && vma.range.start.value % kPageBytes == 0 && vma.range.end.value % kPageBytes == 0,
             "process {}: VMA {:#x}-{:#x} is no range of pages", pid_, vma.range.start.value, vma.range.end.value);
  const Vma* next = first_ending_above(vma.range.start);
  SIM_ASSERT(!next || next->range.start >= vma.range.end, "process {}: a VMA is added at {:#x} over another", pid_,
             vma.range.start.value);
  Vma& added = vmas_.emplace(vma.range.start.value, vma).first->second;
  if (added.mapping == kUnnamed && vma.mapping == kUnnamed)
    added.mapping = mapping_named(fmt::format("anon-{:x}", vma.range.start.value));
  return &added;
}

void AddressSpace::remove(VirtRange range) {
  auto it = vmas_.lower_bound(range.start.value);
  while (it != vmas_.end() && it->second.range.start < range.end) {
    SIM_ASSERT(it->second.range.end <= range.end && it->second.fault_readers == 0, "the VMA at {:#x} cannot be removed",
               it->second.range.start.value);
    it = vmas_.erase(it);
  }
}

// expand_downwards: the stack grows to the page of the access, not below its room nor into its neighbour.
Vma* AddressSpace::expand_stack(VirtAddr va) {
  Vma* vma = first_ending_above(va);
  if (!vma || vma->range.start <= va || !vma->is(Vma::kGrowsDown)) return nullptr;
  const VirtAddr start = align_down(va, kPageBytes);
  if (start < stack_room.start || vma->range.start > stack_room.end) return nullptr;
  const std::uint64_t growth = (vma->range.start - start) >> kPageShift;
  if (growth > vma->pgoff) return nullptr;
  auto node = vmas_.extract(vma->range.start.value);
  node.key() = start.value;
  Vma& grown = node.mapped();
  grown.range.start = start;
  grown.pgoff -= growth;
  return &vmas_.insert(std::move(node)).position->second;
}

// --- per-VMA locks ---

void AddressSpace::vma_end_read(Vma& vma) {
  SIM_ASSERT(vma.fault_readers > 0, "the VMA at {:#x} has no reader", vma.range.start.value);
  if (--vma.fault_readers > 0 || write_wanted_ != &vma) return;
  write_wanted_ = nullptr;
  kernel_.queue.schedule(*write_drained_, kernel_.queue.now());
}

bool AddressSpace::vma_start_write(Vma& vma, Event& drained) {
  SIM_ASSERT(mmap_lock_.write_locked(), "a VMA is write-locked without mmap_lock");
  vma.write_locked = true;
  if (vma.fault_readers == 0) return true;
  SIM_ASSERT(!write_wanted_, "two writers wait for the VMAs of process {}", pid_);
  write_wanted_ = &vma;
  write_drained_ = &drained;
  return false;
}

void AddressSpace::vma_end_write_all() {
  for (auto& [start, vma] : vmas_) vma.write_locked = false;
}

// --- page-table locks ---

std::vector<AddressSpace::PteLock>::iterator AddressSpace::pte_lock_of(VirtAddr va) {
  return std::find_if(pte_locks_.begin(), pte_locks_.end(), [&](const PteLock& l) { return l.base == huge_base(va); });
}

void AddressSpace::lock_pte_table(VirtAddr base, LockOwner owner) {
  SIM_ASSERT(!pte_table_locked(base), "the page table at {:#x} is locked twice", base.value);
  pte_locks_.push_back({.base = huge_base(base), .owner = owner});
}

bool AddressSpace::pte_table_locked(VirtAddr va) const {
  return std::any_of(pte_locks_.begin(), pte_locks_.end(), [&](const PteLock& l) { return l.base == huge_base(va); });
}

std::optional<VirtAddr> AddressSpace::locked_pte_table_in(VirtRange range) const {
  std::optional<VirtAddr> lowest;
  for (const PteLock& l : pte_locks_)
    if (range.overlaps({l.base, l.base + kHugeBytes}) && (!lowest || l.base < *lowest)) lowest = l.base;
  return lowest;
}

void AddressSpace::wait_pte_table(VirtAddr va, TimedRwLock::Waiter& waiter) {
  const auto lock = pte_lock_of(va);
  SIM_ASSERT(lock != pte_locks_.end(), "the page table at {:#x} is waited for but not locked", va.value);
  waiter.since = kernel_.queue.now();
  waiter.behind = lock->owner;
  waiter.next = nullptr;
  (lock->last ? lock->last->next : lock->first) = &waiter;
  lock->last = &waiter;
}

// All who wait go on in order of arrival and look again.
void AddressSpace::unlock_pte_table(VirtAddr base) {
  const auto lock = pte_lock_of(base);
  SIM_ASSERT(lock != pte_locks_.end(), "the page table at {:#x} is unlocked but not locked", base.value);
  TimedRwLock::Waiter* waiter = lock->first;
  pte_locks_.erase(lock);
  while (waiter) {
    TimedRwLock::Waiter* const next = std::exchange(waiter->next, nullptr);
    pte_stalls_.record(*waiter, kernel_.queue.now());
    kernel_.queue.schedule(*waiter->granted, kernel_.queue.now());
    waiter = next;
  }
}

// --- laws ---

void AddressSpace::check() const {
  VirtAddr end{0};
  for (const auto& [start, vma] : vmas_) {
    SIM_ASSERT(start == vma.range.start.value && vma.range.start >= end && !vma.range.empty(),
               "process {}: VMA {:#x} is out of order", pid_, start);
    end = vma.range.end;
  }
  std::uint64_t anon = 0, file = 0, swapped = 0, huge = 0, file_huge = 0, hugetlb = 0;
  table_.visit(user_range(), [&](VirtAddr va, Pte& e, PageSize size) {
    const auto after = vmas_.upper_bound(va.value);
    SIM_ASSERT(after != vmas_.begin() && va + page_bytes(size) <= std::prev(after)->second.range.end,
               "process {}: {:#x} is mapped outside every VMA", pid_, va.value);
    if (e.swap()) ++swapped;
    if (!e.present() || e.zero_page()) return;
    const FrameUse use = kernel_.memory.frame(e.pfn()).used_as();
    if (use == FrameUse::hugetlb) hugetlb += pages_4k(size);
    else if (use == FrameUse::anon) anon += pages_4k(size), huge += size == PageSize::k2M;
    else file += pages_4k(size), file_huge += size == PageSize::k2M;
  });
  SIM_ASSERT(anon == anon_rss && file == file_rss && swapped == swap_entries && huge == huge_pages &&
                 file_huge == file_huge_pages && hugetlb == hugetlb_rss,
             "process {}: the page table has anon {} file {} swap {} huge {} file huge {} hugetlb {}; counted are {} "
             "{} {} {} {} {}",
             pid_, anon, file, swapped, huge, file_huge, hugetlb, anon_rss, file_rss, swap_entries, huge_pages,
             file_huge_pages, hugetlb_rss);
}

// --- eligibility ---

namespace {

bool sysfs_allows(const KernelContext& kernel, const Vma& vma) {
  switch (kernel.config.anon_enabled()) {
    case ThpEnabled::always: return true;
    case ThpEnabled::madvise: return vma.is(Vma::kHugePage);
    case ThpEnabled::never: return false;
  }
  return false;
}

// VM_NO_KHUGEPAGED, as far as it is modelled.
bool is_special(const Vma& vma) { return vma.flags & (Vma::kIo | Vma::kHugetlb); }

bool holds_a_huge_block(const Vma& vma) {
  return vma.range.bytes() >= kHugeBytes && align_down(vma.range.end - kHugeBytes, kHugeBytes) >= vma.range.start;
}

// What follows the sysfs test (6.12), or surrounds it (6.1).
bool is_anonymous_candidate(const Vma& vma, bool in_fault) {
  if (vma.is(Vma::kTempStack)) return false;
  return in_fault || vma.anon_vma != 0;
}

}  // namespace

bool thp_vma_allowable(const KernelContext& kernel, const AddressSpace& mm, const Vma& vma, bool enforce_sysfs,
                       bool in_fault) {
  const bool sysfs_first = kernel.rules.sysfs_first;
  if (sysfs_first && vma.is_anonymous() && enforce_sysfs && !sysfs_allows(kernel, vma)) return false;
  if (mm.refuses_thp(vma, /*forced=*/!enforce_sysfs)) return false;
  if (is_special(vma)) return false;
  if (!in_fault && !holds_a_huge_block(vma)) return false;
  if (!vma.is_anonymous())
    return !in_fault && is_file_aligned(vma) && file_thp_allowable(kernel, mm, vma, enforce_sysfs);
  if (!sysfs_first && enforce_sysfs && !sysfs_allows(kernel, vma)) return false;
  return is_anonymous_candidate(vma, in_fault);
}

}  // namespace collapsar
