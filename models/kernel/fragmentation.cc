#include "models/kernel/fragmentation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/kernel/page_cache.h"
#include "models/kernel/reclaim.h"
#include "sim/core/random.h"

namespace collapsar {

namespace {

constexpr FileId kFileOfOthers = (1ULL << 62) - 1;  // no trace's: those number their files from below

class Fragmenter {
 public:
  Fragmenter(KernelContext& kernel, Reclaim& reclaim, const FragmentationConfig& config, std::uint64_t seed)
      : kernel_(kernel), reclaim_(reclaim), config_(config), random_(seed, "memory.fragmentation") {}

  void run() {
    const std::vector<std::uint64_t> blocks = chosen_blocks();
    const std::uint64_t all = kernel_.memory.total_pages() >> kHugeOrder;
    const auto share = [&](double of_all) { return std::uint64_t(std::llround(of_all * double(all))); };
    std::size_t next = 0;
    const auto take = [&](std::uint64_t count, bool cache, bool kernel_page) {
      for (; count > 0 && next < blocks.size(); --count) fill(blocks[next++], cache, kernel_page);
    };
    take(share(config_.unmovable), false, true);
    take(share(config_.movable), true, false);
    take(share(config_.hybrid), true, true);
  }

 private:
  // Wholly free ones, in the order in which they are taken.
  std::vector<std::uint64_t> chosen_blocks() {
    std::vector<std::uint64_t> blocks;
    for (std::uint64_t n = 0; n < kernel_.memory.total_pages() >> kHugeOrder; ++n) {
      const PhysicalMemory::Block block = kernel_.memory.block_of({n * kHugePages});
      if (block.is_free && block.order >= kHugeOrder) blocks.push_back(n);
    }
    if (config_.spread == BlockSpread::random) shuffle(blocks);
    return blocks;
  }

  template <class Range>
  void shuffle(Range& range) {
    for (std::size_t n = range.size(); n > 1; --n) std::swap(range[n - 1], range[random_.below(n)]);
  }

  void fill(std::uint64_t block, bool with_cache, bool with_kernel_page) {
    const Pfn first{block * kHugePages};
    std::array<std::uint16_t, kHugePages> places;
    std::iota(places.begin(), places.end(), std::uint16_t(0));
    shuffle(places);
    std::size_t taken = 0;
    if (with_kernel_page) kernel_.memory.take_frame(first + places[taken++], FrameUse::kernel);
    const std::uint64_t cache_pages = with_cache ? config_.cache_pages() : 0;
    for (std::uint64_t n = 0; n < cache_pages; ++n) add_cache(first + places[taken++]);
    kernel_.memory.set_pageblock_type(first, with_cache ? MigrateType::movable : MigrateType::unmovable);
  }

  void add_cache(Pfn pfn) {
    kernel_.memory.take_frame(pfn, FrameUse::file);
    kernel_.page_cache->add(kFileOfOthers, next_index_++, pfn);
    reclaim_.add(pfn, /*active=*/false);
  }

  KernelContext& kernel_;
  Reclaim& reclaim_;
  const FragmentationConfig& config_;
  Random random_;
  std::uint64_t next_index_ = 0;
};

}  // namespace

void fragment_memory(KernelContext& kernel, Reclaim& reclaim, const FragmentationConfig& config, std::uint64_t seed) {
  Fragmenter(kernel, reclaim, config, seed).run();
}

}  // namespace collapsar
