"""The library that the stages, the runtime and the jobs are built from.

core         params, files, progress, threads       data        data/raw and data/crops, opened
nn           what models share                      models      the face models, one file each, and their
             contract
latents      distributions of codes                 edits       directions, exclusions, kept detail
estimators   directions from codes and labels       flow        the conditional flow of codes
metrics      formulas, arrays alone                 scoring     runs networks on edits and samples
ingest       archives and pictures to data/raw      sources     the data sets, one file each
evaluation   scores to metrics                      viz         grids, animations, charts
export       networks and bundle                    report      report and model card

Only core/console.py prints, and only core/params.py opens params.yaml.
Letters used everywhere: B batch, C H W image, D code length, N images, A attributes.
"""
