// bounced config, bounced version.
#include <hs/hs.h>
#include <rocksdb/version.h>

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/app.h"
#include "store/store.h"

#ifndef BOUNCED_VERSION
#define BOUNCED_VERSION "0.1.0"
#endif

namespace bounced::cli {

void add_config(CLI::App& parser, App& app) {
  CLI::App* command =
      parser.add_subcommand("config", "check a configuration, or print the default");
  command->require_subcommand(1);
  CLI::App* check = command->add_subcommand("check", "read a configuration and say what is wrong");
  auto file = std::make_shared<std::string>();
  check->add_option("FILE", *file, "configuration (or --config)");
  examples(*check, "  bounced config check /etc/bounced/bounced.toml");
  check->callback([&app, file] {
    app.run = [&app, file] {
      const std::string name = file->empty() ? app.config_file : *file;
      if (name.empty()) {
        return app.io.report(
            {ErrorCode::usage, "config check", "", "no file named", "bounced config check FILE"});
      }
      auto config = load_config(app.path(name));
      if (!config) {
        Error error = config.error();
        if (error.code == ErrorCode::usage) error.code = ErrorCode::check;
        return app.io.report(error);
      }
      auto rules = load_rules(engine_options(*config).rules);
      if (!rules) return app.io.report(rules.error());
      auto policy = state::load_policy(config->policy_file, causes(**rules));
      if (!policy) return app.io.report(policy.error());
      app.io.out(fmt::format("{}: ok, {} source(s), {} stream(s), data in {}\n", name,
                             config->tails.size() + config->maildirs.size() + config->mboxes.size(),
                             config->streams.size(), config->data_dir));
      return 0;
    };
  });
  CLI::App* defaults = command->add_subcommand("default", "print every key with its default");
  examples(*defaults, "  bounced config default > bounced.toml");
  defaults->callback([&app] {
    app.run = [&app] {
      app.io.out(default_config());
      return 0;
    };
  });
}

void add_version(CLI::App& parser, App& app) {
  CLI::App* command =
      parser.add_subcommand("version", "version of bounced and what it is built on");
  examples(*command, "  bounced version");
  command->callback([&app] {
    app.run = [&app] {
      app.io.out(fmt::format("bounced {}\nstore format {}\nRocksDB {}.{}.{}, Hyperscan {}\n",
                             BOUNCED_VERSION, store::kStoreVersion, ROCKSDB_MAJOR, ROCKSDB_MINOR,
                             ROCKSDB_PATCH, hs_version()));
      return 0;
    };
  });
}

}  // namespace bounced::cli
