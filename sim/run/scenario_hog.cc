// `hog`: no free block of 2 MiB is left, while small pages are plentiful.
#include "models/kernel/memory_calls_bits.h"
#include "sim/run/scenario.h"

namespace collapsar {

using Op = SyscallRequest::Op;

namespace {

constexpr VirtAddr kHogArea{4ULL << 40};          // not shown in snapshots
constexpr std::uint64_t kHogBytes = kGiB;         // of address space, without reservation
constexpr std::uint64_t kHogMinFree = kMiB;       // min_free_kbytes while memory is hogged
constexpr std::uint64_t kHogReserve = 96 * kMiB;  // left to small pages when huge ones are set aside

std::uint64_t free_huge_blocks(const PhysicalMemory& memory) {
  return memory.free_blocks(kHugeOrder) + memory.free_blocks(PhysicalMemory::kMaxOrder);
}

}  // namespace

// Everything but some small change is kept as huge pages of the machine; the process takes small pages until no large
// block is free, then gives back every second one of the last it took.
CallResult ScenarioPlayer::hog(const Command& c) {
  PhysicalMemory& memory = machine_.kernel().context().memory;
  const TaskId task = process(c.process).task;
  machine_.swap_off();
  if (!hog_) hog_.emplace(Hog{memory.watermarks().min, {}});
  memory.set_watermarks(kHogMinFree >> kPageShift);
  SyscallRequest no_thp = ScenarioMachine::request(Op::thp_disable, task);
  no_thp.value = 1;
  machine_.call(no_thp);
  const std::uint64_t small = (kHogReserve + c.length / 2) >> kPageShift;
  if (memory.free_pages() > small) keep_huge((memory.free_pages() - small) / kHugePages);

  SyscallRequest map = ScenarioMachine::request(Op::mmap, task, kHogArea, kHogBytes);
  map.prot = Vma::kRead | Vma::kWrite;
  map.map_flags = kMapAnonymous | kMapFixed | kMapPrivate | kMapNoReserve;
  machine_.call(map);
  VirtAddr next = kHogArea;
  const std::uint64_t wanted = c.length;
  while (free_huge_blocks(memory) > 0 || next - kHogArea < wanted) {
    machine_.touch(task, next, Access::write);
    next += kPageBytes;
  }
  for (std::uint64_t given = 0; given < c.length; given += kPageBytes, next = next - 2 * kPageBytes) {
    if (next - kHogArea <= 2 * kPageBytes) break;
    SyscallRequest give = ScenarioMachine::request(Op::madvise, task, next - kPageBytes, kPageBytes);
    give.advice = std::uint32_t(Advice::dontneed);
    machine_.call(give);
  }
  keep_huge(free_huge_blocks(memory));
  return {std::int64_t(free_huge_blocks(memory)), 0};
}

void ScenarioPlayer::keep_huge(std::uint64_t blocks) {
  for (std::uint64_t i = 0; i < blocks; ++i)
    if (const auto page = machine_.kernel().context().memory.allocate(kHugeOrder, MigrateType::movable,
                                                                      FrameUse::hugetlb, AllocLevel::reserve))
      hog_->huge.push_back(*page);
}

void ScenarioPlayer::give_back_huge() {
  if (!hog_) return;
  for (const Pfn page : hog_->huge) machine_.kernel().context().memory.free(page, kHugeOrder);
  hog_->huge.clear();
}

void ScenarioPlayer::end_hog() {
  if (!hog_) return;
  give_back_huge();
  machine_.kernel().context().memory.set_watermarks(hog_->min_free);
  machine_.swap_on();
  hog_.reset();
}

}  // namespace collapsar
