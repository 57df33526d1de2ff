// HttpService: the daemon's HTTP side: webhooks, health, metrics; made of Config for an Engine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/config.h"
#include "net/http_server.h"
#include "pipeline/engine.h"
#include "serve/webhooks.h"

namespace bounced::cli {

class MailWatch;

/// Thread safety: const methods from any thread; the rest from one.
class HttpService {
 public:
  /// Listens when it returns. `base`: where relative file names of the configuration lie. `mails`
  /// may be null; it must not go before this. Errors never hold a secret.
  static Result<std::unique_ptr<HttpService>> start(pipeline::Engine& engine, const Config& config,
                                                    const std::string& base,
                                                    const MailWatch* mails);
  /// Before the engine goes: requests under way are answered, new ones sent away to come again.
  ~HttpService();
  [[nodiscard]] const std::vector<std::string>& addresses() const;
  [[nodiscard]] const serve::Webhooks& webhooks() const;
  /// Certificate and access log are opened again.
  void reload();

 private:
  HttpService();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// An endpoint's settings with its secrets read ("file:", "env:"). Errors: usage, io.
Result<serve::WebhookSettings> webhook_settings(const WebhookConfig& config,
                                                const std::string& base);

}  // namespace bounced::cli
