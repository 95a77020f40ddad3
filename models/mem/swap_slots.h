// SwapSlots: which slots of the swap space are in use, and by how many.
//
// Models:      use counts (a fork shares slots); clusters of 512 slots, so that a huge page can go out whole.
// Simplified:  the lowest cluster with room is used, not one per CPU; a count ends at 65,535 (the kernel continues
//              elsewhere).
// Owns:        the counts. Host memory: 8 B for each cluster, 1.1 KiB once one of its slots has been taken.
// Source:      mm/swapfile.c: with CONFIG_THP_SWAP, SWAPFILE_CLUSTER is HPAGE_PMD_NR slots.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sim/core/units.h"

namespace collapsar {

using SwapSlot = std::uint32_t;

class SwapSlots {
 public:
  static constexpr std::uint32_t kClusterSlots = kHugePages;

  explicit SwapSlots(std::uint64_t slots);

  // The lowest free slot, with one user; the first of the lowest free cluster, each slot with one user. nullopt: none.
  std::optional<SwapSlot> take_one();
  std::optional<SwapSlot> take_cluster();
  // Requires: the slot is in use.
  void add_user(SwapSlot slot);
  // One user less; true if the slot is free now. Requires: the slot is in use.
  bool drop_user(SwapSlot slot);
  std::uint32_t users(SwapSlot slot) const;

 private:
  // A set of small numbers that knows its lowest: a bitmap, over it a bitmap of its words that are not empty, and so
  // on.
  class LowestSet {
   public:
    explicit LowestSet(std::uint64_t size);
    bool empty() const { return levels_.back().front() == 0; }
    std::uint64_t lowest() const;  // Requires: !empty().
    void insert(std::uint64_t n);
    void erase(std::uint64_t n);

   private:
    std::vector<std::vector<std::uint64_t>> levels_;
  };
  struct Cluster {
    std::array<std::uint64_t, kClusterSlots / 64> free{};  // bitmap
    std::array<std::uint16_t, kClusterSlots> users{};
    std::uint32_t taken = 0;
  };

  std::uint32_t size_of(std::uint64_t cluster) const;  // less than 512 for the last, perhaps
  Cluster& cluster_at(std::uint64_t number);
  void take(std::uint64_t number, Cluster& cluster, std::uint32_t i);
  std::uint16_t& users_in_use(SwapSlot slot);

  std::uint64_t slots_;
  std::vector<std::unique_ptr<Cluster>> clusters_;
  LowestSet with_room_, whole_;  // clusters with a free slot; of 512 free slots
};

}  // namespace collapsar
