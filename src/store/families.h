// Families: names and tuned RocksDB options of the column families. Private to this folder.
#pragma once

#include <rocksdb/options.h>

#include <cstddef>
#include <memory>
#include <string_view>

#include "store/write_set.h"

namespace bounced::store {

std::string_view family_name(Family family);

/// Options of the whole database; `read_only` creates nothing.
rocksdb::DBOptions database_options(bool read_only);
/// Options of one family; `cache` is shared by all.
rocksdb::ColumnFamilyOptions family_options(Family family,
                                            const std::shared_ptr<rocksdb::Cache>& cache);
/// Options of the sorted files that a large cut writes for `family`.
rocksdb::Options cut_file_options(const rocksdb::DBOptions& database,
                                  const rocksdb::ColumnFamilyOptions& family);

}  // namespace bounced::store
