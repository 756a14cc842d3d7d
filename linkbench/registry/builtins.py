"""The built-in plugins, registered like anybody's."""

from __future__ import annotations

from linkbench.api.hookspecs import Register, hookimpl


@hookimpl
def register_genomes(register: Register) -> None:
    register(
        "paper-tables",
        "linkbench.genomes.paper_tables:PaperTables",
        api=1,
        summary="456 genomes of Venkatesaramani et al. 2021, realistic or ideal",
    )
    register(
        "misspecified",
        "linkbench.genomes.misspecified:Misspecified",
        api=1,
        summary="other genomes as an attacker with wrong tables reads them",
    )
    register(
        "thousand-genomes",
        "linkbench.genomes.thousand_genomes:ThousandGenomes",
        api=1,
        summary="2,504 openly consented genomes, HIrisPlex-S probabilities",
    )
    register(
        "simulated",
        "linkbench.genomes.simulated:Simulated",
        api=1,
        summary="any number of genomes drawn from published allele frequencies",
    )
    register(
        "table",
        "linkbench.genomes.table:GenomeTable",
        api=1,
        summary="your own CSV or Parquet table of probabilities or dosages",
    )
    register(
        "genotype-files",
        "linkbench.genomes.genotype_files.source:GenotypeFiles",
        api=1,
        summary="your own genotype files: 23andMe, AncestryDNA, MyHeritage, FamilyTreeDNA, VCF",
    )


@hookimpl
def register_cohorts(register: Register) -> None:
    register(
        "paper-tables",
        "linkbench.cohorts.paper_tables:PaperTablesCohort",
        api=1,
        summary="labels and published predictions of the paper's 456 photos, without the photos",
    )
    register(
        "sampled",
        "linkbench.cohorts.sampled:Sampled",
        api=1,
        summary="people without photos: predictions drawn with the paper's error rates",
    )
    register(
        "rendered",
        "linkbench.cohorts.rendered:Rendered",
        api=1,
        summary="procedural faces drawn from the genomes, their truth known",
    )
    register(
        "paper-release",
        "linkbench.cohorts.paper_release:PaperRelease",
        api=1,
        summary="the paper's 456 photos, from the authors' folder",
    )
    register(
        "celeba",
        "linkbench.cohorts.celeba:CelebA",
        api=1,
        summary="a CelebA folder, each person given a genome that fits",
    )
    register(
        "folder",
        "linkbench.cohorts.folder:Folder",
        api=1,
        summary="your own photos with a CSV table of labels",
    )


@hookimpl
def register_attackers(register: Register) -> None:
    register(
        "predicted",
        "linkbench.attackers.predicted:Predicted",
        api=1,
        summary="the paper's: summed log P(predicted variant | genome)",
    )
    register(
        "ground-truth",
        "linkbench.attackers.predicted:GroundTruth",
        api=1,
        summary="the same with the true variants: upper bound of perfect predictors",
    )
    register(
        "known",
        "linkbench.attackers.predicted:Known",
        api=1,
        summary="some phenotypes known for certain, the others predicted",
    )
    register("random", "linkbench.attackers.random:Random", api=1, summary="knows nothing: success@k = k/n exactly")
    register(
        "demographics",
        "linkbench.attackers.demographics:Demographics",
        api=1,
        summary="sex, or sex and ancestry, and no photo: what a face must add to",
    )
    register(
        "calibrated",
        "linkbench.attackers.calibrated:Calibrated",
        api=1,
        summary="knows the predictors' confusion matrix from other people's photos",
    )
    register(
        "likelihood",
        "linkbench.attackers.likelihood:Likelihood",
        api=1,
        summary="models what the predictors say of each variant, on other people's photos under the same defender",
    )
    register(
        "soft",
        "linkbench.attackers.soft:Soft",
        api=1,
        summary="Bayes' rule with the whole softmax, class prior divided out",
    )
    register(
        "assignment",
        "linkbench.attackers.assignment:Assignment",
        api=1,
        summary="matches all photos of a population at once, one to one",
    )


@hookimpl
def register_defenders(register: Register) -> None:
    register("none", "linkbench.defenders.none:Nothing", api=1, summary="control: the photo as it is")
    register("noise", "linkbench.defenders.noise:Noise", api=1, summary="control: unaimed noise, uniform or signs")
    register(
        "joint-pgd",
        "linkbench.defenders.joint_pgd:JointPGD",
        api=1,
        summary="the paper's: worsen the true genome's match over all phenotypes; leaks to who calibrates on it",
    )
    register(
        "decoy-pgd",
        "linkbench.defenders.decoy_pgd:DecoyPGD",
        api=1,
        summary="look to predictors like a secret random other person",
    )
    register(
        "single-pgd",
        "linkbench.defenders.single_pgd:SinglePGD",
        api=1,
        summary="fool the predictor of one phenotype",
    )
    register("blur", "linkbench.defenders.blur:Blur", api=1, summary="classical: Gaussian blur")
    register("pixelate", "linkbench.defenders.pixelate:Pixelate", api=1, summary="classical: squares of one colour")
    register(
        "amortised",
        "linkbench.defenders.amortised:Amortised",
        api=1,
        summary="like decoy-pgd in one pass of a network trained for it",
    )
    register(
        "personal-mask",
        "linkbench.defenders.personal_mask:PersonalMask",
        api=1,
        summary="one mask per person from a few photos, laid over all of them",
    )
    register(
        "re-render",
        "linkbench.defenders.re_render:ReRender",
        api=1,
        summary="bound of removal: rendered people drawn again as somebody else",
    )
    register("chain", "linkbench.defenders.chain:Chain", api=1, summary="several defenders, one after the other")
    register("blend", "linkbench.defenders.blend:Blend", api=1, summary="removal: somebody else's face mixed in")
    register(
        "recolour",
        "linkbench.defenders.recolour:Recolour",
        api=1,
        summary="removal: skin and hair take somebody else's colours",
    )
    register(
        "suppress",
        "linkbench.defenders.suppress:Suppress",
        api=1,
        summary="removal: a network trained against opponents who keep learning on its output",
    )
    register(
        "k-same", "linkbench.defenders.k_same:KSame", api=1, summary="removal: the mean of k faces that look alike"
    )
    register(
        "fawkes",
        "linkbench.defenders.fawkes:Fawkes",
        api=1,
        summary="cloak: deep features toward a dissimilar person, DSSIM bounded",
    )
    register(
        "lowkey", "linkbench.defenders.lowkey:LowKey", api=1, summary="cloak: deep features away, plain and blurred"
    )
    register(
        "shortcut",
        "linkbench.defenders.shortcut:Shortcut",
        api=1,
        summary="poison: a pattern that depends on the label alone, five kinds",
    )
    register(
        "convolution",
        "linkbench.defenders.convolution:Convolution",
        api=1,
        summary="poison: blur with a kernel that depends on the label",
    )
    register(
        "unlearnable",
        "linkbench.defenders.unlearnable:Unlearnable",
        api=1,
        summary="poison: error-minimising noise, per class or per photo",
    )
    register(
        "pil",
        "linkbench.defenders.pil:PIL",
        api=1,
        summary="poison: noise of one linear model, which makes networks linear",
    )
    register(
        "bait",
        "linkbench.defenders.bait:Bait",
        api=1,
        summary="poison: noise bound to wrong labels, against networks that know faces already",
    )
    register(
        "targeted-poison",
        "linkbench.defenders.targeted_poison:TargetedPoison",
        api=1,
        summary="poison: photos that look like permuted labels to a surrogate",
    )


@hookimpl
def register_channels(register: Register) -> None:
    register("float", "linkbench.channels.float:Float", api=1, summary="nothing is lost, as in the paper")
    register("png", "linkbench.channels.png:Png", api=1, summary="eight bits per colour, otherwise lossless")
    register("jpeg", "linkbench.channels.jpeg:Jpeg", api=1, summary="a JPEG file of some quality")
    register("resize", "linkbench.channels.resize:Resize", api=1, summary="shrunk and enlarged again, then eight bits")
    register(
        "platform",
        "linkbench.channels.platform:Platform",
        api=1,
        summary="what places do to posted photos: shrink, sharpen, JPEG, eight bits",
    )
    register("chain", "linkbench.channels.chain:Chain", api=1, summary="several channels, one after the other")


@hookimpl
def register_identifiers(register: Register) -> None:
    register(
        "nearest-neighbour",
        "linkbench.identifiers.nearest_neighbour:NearestNeighbour",
        api=1,
        summary="the person of the nearest gallery photo in the embedding",
    )
    register(
        "linear",
        "linkbench.identifiers.linear:Linear",
        api=1,
        summary="logistic regression on the embeddings of the gallery",
    )
    register(
        "fine-tuned",
        "linkbench.identifiers.fine_tuned:FineTuned",
        api=1,
        summary="the network itself, trained on with the gallery",
    )


@hookimpl
def register_architectures(register: Register) -> None:
    register(
        "small-cnn",
        "linkbench.models.small_cnn:SmallCNN",
        api=1,
        summary="the CPU default: a few strided convolutions, 32 px and more",
    )
    register("resnet", "linkbench.models.resnet:ResNet", api=1, summary="a small residual network, 32 px and more")
    register(
        "vggface16",
        "linkbench.models.vggface16:VGGFace16",
        api=1,
        summary="the paper's: VGG-16 at 224 px, from VGGFace weights if given",
    )
    register(
        "dlib-resnet",
        "linkbench.models.dlib_resnet:DlibResNet",
        api=1,
        summary="dlib's face recogniser at 150 px, from face-api's weights if given",
    )
    register(
        "age-gender",
        "linkbench.models.age_gender:AgeGender",
        api=1,
        summary="face-api's sex and age at 112 px, from its weights if given",
    )
    register(
        "colorimetry",
        "linkbench.models.colorimetry:Colorimetry",
        api=1,
        summary="no network: colours of skin, hair and irises against published classes, 32 px and more",
    )
    register("module", "linkbench.models.module:Module", api=1, summary="your own torch.nn.Module, by import path")


@hookimpl
def register_recipes(register: Register) -> None:
    register(
        "standard",
        "linkbench.recipes.standard:Standard",
        api=1,
        summary="ordinary training, classes balanced, stopped early",
    )
    register(
        "linear-probe",
        "linkbench.recipes.linear_probe:LinearProbe",
        api=1,
        summary="last layers fitted exactly to the features of a network that stays as it is",
    )
    register(
        "other-cameras",
        "linkbench.recipes.other_cameras:OtherCameras",
        api=1,
        summary="on photos as other cameras would have taken them, for photos of another kind",
    )
    register(
        "adversarial",
        "linkbench.recipes.adversarial:Adversarial",
        api=1,
        summary="the paper's: on photos that a defender has just made hard for the network",
    )
    register(
        "adaptive",
        "linkbench.recipes.adaptive:Adaptive",
        api=1,
        summary="on what a known defender puts out",
    )
    register(
        "channel",
        "linkbench.recipes.channel:ChannelFilter",
        api=1,
        summary="countermeasure: the predictor sees photos after any channel",
    )
    register(
        "grayscale",
        "linkbench.recipes.grayscale:Grayscale",
        api=1,
        summary="countermeasure: the predictor sees no colour",
    )
    register(
        "jpeg",
        "linkbench.recipes.jpeg:JpegFilter",
        api=1,
        summary="countermeasure: the predictor sees strongly compressed photos",
    )
    register(
        "blur",
        "linkbench.recipes.blur:BlurFilter",
        api=1,
        summary="countermeasure: the predictor sees blurred photos",
    )
    register(
        "bit-depth",
        "linkbench.recipes.bit_depth:BitDepth",
        api=1,
        summary="countermeasure: the predictor sees few grey levels",
    )
    register(
        "median",
        "linkbench.recipes.median:MedianFilter",
        api=1,
        summary="countermeasure: the predictor sees photos after a median filter",
    )
    register(
        "even-light",
        "linkbench.recipes.even_light:EvenLight",
        api=1,
        summary="countermeasure: the predictor sees all photos equally bright and contrasty",
    )
    register(
        "purify",
        "linkbench.recipes.purify:Purify",
        api=1,
        summary="countermeasure: a U-Net, trained on protected photos, takes protection away",
    )
    register(
        "inpaint",
        "linkbench.recipes.inpaint:Inpaint",
        api=1,
        summary="countermeasure: every pixel is cut out and filled in from what surrounds it",
    )
    register(
        "super-resolution",
        "linkbench.recipes.super_resolution:SuperResolution",
        api=1,
        summary="countermeasure: photos made small, and large again by a trained U-Net",
    )
    register(
        "averaged",
        "linkbench.recipes.averaged:Averaged",
        api=1,
        summary="countermeasure: the mean answer to copies changed by noise, or by small adversarial steps",
    )
    register(
        "smoothed",
        "linkbench.recipes.smoothed:Smoothed",
        api=1,
        summary="countermeasure: a vote over noisy copies, which certifies what no small change can do",
    )
    register(
        "orthogonal-projection",
        "linkbench.recipes.orthogonal_projection:OrthogonalProjection",
        api=1,
        summary="countermeasure: the predictor sees nothing of a linear model's class directions",
    )
    register(
        "best-of",
        "linkbench.recipes.best_of:BestOf",
        api=1,
        summary="several recipes, the best on clean validation photos: what a poison must beat",
    )
    register(
        "embedding",
        "linkbench.recipes.embedding:Embedding",
        api=1,
        summary="features whose angles tell people apart, for identification",
    )
    register(
        "adaptive-embedding",
        "linkbench.recipes.embedding:AdaptiveEmbedding",
        api=1,
        summary="the same on what a known defender puts out",
    )
    register(
        "pretrained",
        "linkbench.recipes.pretrained:Pretrained",
        api=1,
        summary="the weights as they come; nothing is trained",
    )


@hookimpl
def register_executors(register: Register) -> None:
    register("local", "linkbench.execution.local:Local", api=1, summary="processes on this machine")
    register("ray", "linkbench.execution.ray_cluster:Ray", api=1, summary="Ray, on this machine or a cluster")
    register("slurm", "linkbench.execution.slurm:Slurm", api=1, summary="jobs of Slurm, through submitit")
