// `berth model`: the model repository.
#include <memory>

#include "base/status.h"
#include "berth/v1/model.grpc.pb.h"
#include "cli/client.h"
#include "cli/verbs.h"
#include "fmt/format.h"
#include "policy/potential/model_dir.h"

namespace berth::cli {
namespace {

struct Flags {
  ClientFlags client;
  std::string name, dir, out = "models";
  std::vector<std::string> parts;
  int64_t version = 1;
};

absl::Status RunList(const Flags& flags) {
  BERTH_ASSIGN_OR_RETURN(const auto channel, Connect(flags.client));
  grpc::ClientContext context;
  SetDeadline(flags.client, &context);
  v1::ListModelsResponse response;
  BERTH_RETURN_IF_ERROR(FromGrpc(v1::ModelService::NewStub(channel)->ListModels(&context, {}, &response)));
  nlohmann::json models = nlohmann::json::array();
  for (const v1::ModelVersion& m : response.models()) models.push_back({{"name", m.name()}, {"version", m.version()}, {"is_serving", m.is_serving()}});
  if (flags.client.json) {
    fmt::print("{}\n", nlohmann::json{{"models", models}, {"serving_policy", response.serving_policy()}, {"serving_version", response.serving_version()}}.dump());
    return absl::OkStatus();
  }
  fmt::print("serving: {} {}\n", response.serving_policy(), response.serving_version());
  for (const auto& m : models) fmt::print("{} {}{}\n", m["name"].get<std::string>(), m["version"].get<int64_t>(), m["is_serving"].get<bool>() ? "  serving" : "");
  return absl::OkStatus();
}

absl::Status RunVerify(const Flags& flags) {
  BERTH_ASSIGN_OR_RETURN(const auto policy, LoadModelDir(flags.dir));
  fmt::print("model {} version {}: weights, feature list and golden answers are right\n", policy->info().name, policy->info().version);
  return absl::OkStatus();
}

absl::Status RunBlend(const Flags& flags) {
  std::vector<ModelContent> parts;
  for (const std::string& dir : flags.parts) {
    BERTH_ASSIGN_OR_RETURN(parts.emplace_back(), ReadModelDir(dir));
  }
  BERTH_ASSIGN_OR_RETURN(ModelContent blend, BlendModels(parts));
  blend.name = flags.name;
  blend.version = flags.version;
  BERTH_ASSIGN_OR_RETURN(const std::string dir, WriteModelDir(flags.out, blend));
  fmt::print("{}\n", dir);
  return absl::OkStatus();
}

absl::Status RunChange(const Flags& flags, bool is_promote) {
  BERTH_ASSIGN_OR_RETURN(const auto channel, Connect(flags.client));
  grpc::ClientContext context;
  SetDeadline(flags.client, &context);
  const auto stub = v1::ModelService::NewStub(channel);
  std::string policy, version;
  if (is_promote) {
    v1::PromoteRequest request;
    request.set_name(flags.name);
    request.set_version(flags.version);
    v1::PromoteResponse response;
    BERTH_RETURN_IF_ERROR(FromGrpc(stub->Promote(&context, request, &response)));
    policy = response.policy(), version = response.version();
  } else {
    v1::RollbackResponse response;
    BERTH_RETURN_IF_ERROR(FromGrpc(stub->Rollback(&context, {}, &response)));
    policy = response.policy(), version = response.version();
  }
  if (flags.client.json) fmt::print("{}\n", nlohmann::json{{"serving_policy", policy}, {"serving_version", version}}.dump());
  else fmt::print("serving: {} {}\n", policy, version);
  return absl::OkStatus();
}

const VerbRegistration kModel("model", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("model", "The model repository of a running server, and checks of a model directory");
  verb->require_subcommand(1);
  verb->footer("Examples:\n  berth model verify models/openb-like/1\n  berth model blend models/default/1 models/cpu-bound/1 models/typed/1 --name any-mix\n  berth model promote openb-like 2 --server 127.0.0.1:50051");
  CLI::App* list = verb->add_subcommand("list", "What there is and what serves");
  AddClientFlags(list, &flags->client);
  list->callback([flags, &result] { result.status = RunList(*flags); });
  CLI::App* verify = verb->add_subcommand("verify", "Load a model directory as a server would, golden answers included");
  verify->add_option("DIR", flags->dir, "models/<name>/<version>")->required();
  verify->callback([flags, &result] { result.status = RunVerify(*flags); });
  CLI::App* blend = verb->add_subcommand("blend", "One model for any mix, out of models that were each trained on one mix: served between them by what the mix at hand asks");
  blend->add_option("DIR", flags->parts, "the models, that of the commonest mix first")->required()->expected(2, static_cast<int>(kMaxExperts));
  blend->add_option("--name", flags->name, "of the new model")->required();
  blend->add_option("--version", flags->version, "of the new model")->capture_default_str()->check(CLI::Range(1, 1'000'000'000));
  blend->add_option("--out", flags->out, "it goes to OUT/<name>/<version>")->capture_default_str();
  blend->callback([flags, &result] { result.status = RunBlend(*flags); });
  CLI::App* promote = verb->add_subcommand("promote", "Serve a version: loaded and verified beside the one in use, then swapped in");
  AddClientFlags(promote, &flags->client);
  promote->add_option("NAME", flags->name, "the model")->required();
  promote->add_option("VERSION", flags->version, "its version")->required();
  promote->callback([flags, &result] { result.status = RunChange(*flags, true); });
  CLI::App* rollback = verb->add_subcommand("rollback", "Serve what was served before");
  AddClientFlags(rollback, &flags->client);
  rollback->callback([flags, &result] { result.status = RunChange(*flags, false); });
});

}  // namespace
}  // namespace berth::cli
