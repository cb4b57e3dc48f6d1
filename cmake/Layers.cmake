# The layer table: what each folder under src/ may include. One CMake target a folder, named berth_<folder>
# (slashes become underscores). tests/layering checks every #include against this table.
#
# BERTH_FOLDERS lists the folders from the lowest layer to the highest.
set(BERTH_FOLDERS
    base
    cluster mdp mdp/files mdp/petsc lp
    policy workload
    env env/node_mdp
    evaluate
    agent server adapters/kubernetes
    cli)

# Our own folders that a folder may include, besides itself.
set(BERTH_LAYER_base "")
set(BERTH_LAYER_cluster base)
set(BERTH_LAYER_mdp base)
set(BERTH_LAYER_mdp_files base mdp)
set(BERTH_LAYER_mdp_petsc base mdp)
set(BERTH_LAYER_policy base cluster lp)
set(BERTH_LAYER_workload base cluster)
set(BERTH_LAYER_lp base)
set(BERTH_LAYER_env base cluster policy workload lp)
set(BERTH_LAYER_env_node_mdp base cluster mdp policy workload lp env)
set(BERTH_LAYER_evaluate base cluster mdp policy workload lp env env/node_mdp)
set(BERTH_LAYER_agent base cluster mdp policy workload lp env env/node_mdp evaluate)
set(BERTH_LAYER_server base cluster mdp policy workload lp env evaluate)
set(BERTH_LAYER_adapters_kubernetes base cluster policy workload)
set(BERTH_LAYER_cli base cluster mdp mdp/files mdp/petsc policy workload lp env env/node_mdp evaluate agent server adapters/kubernetes)

# Third-party headers that a folder may include, by the first path component (or the whole header).
set(BERTH_THIRD_PARTY_base absl fmt spdlog)
set(BERTH_THIRD_PARTY_cluster absl fmt)
set(BERTH_THIRD_PARTY_mdp absl fmt Eigen)
set(BERTH_THIRD_PARTY_mdp_files absl fmt nlohmann csv.h archive.h archive_entry.h)
set(BERTH_THIRD_PARTY_mdp_petsc absl fmt petscksp.h mpi.h)
set(BERTH_THIRD_PARTY_policy absl fmt Eigen nlohmann openssl)
set(BERTH_THIRD_PARTY_workload absl fmt Eigen yaml-cpp csv.h)
set(BERTH_THIRD_PARTY_lp absl fmt Eigen coin)
set(BERTH_THIRD_PARTY_env absl fmt Eigen)
set(BERTH_THIRD_PARTY_env_node_mdp absl fmt Eigen)
set(BERTH_THIRD_PARTY_evaluate absl fmt nlohmann)
set(BERTH_THIRD_PARTY_agent absl fmt Eigen torch ATen c10 nlohmann)
set(BERTH_THIRD_PARTY_server absl fmt grpc grpcpp google berth nlohmann prometheus leveldb boost openssl)
set(BERTH_THIRD_PARTY_adapters_kubernetes absl fmt nlohmann simdjson.h curl prometheus yaml-cpp)
set(BERTH_THIRD_PARTY_cli absl fmt CLI yaml-cpp nlohmann grpc grpcpp google berth prometheus torch)
