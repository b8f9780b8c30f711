"""Networks that sparse training starts from: one file each, built at any width for any image shape and classes."""

from fewer.weights.networks.network import ImageShape, Network
from fewer.weights.networks.perceptron import Perceptron
from fewer.weights.networks.resnet import CifarResNet
from fewer.weights.networks.vit import ViT
from fewer.weights.networks.wide_resnet import WideResNet

__all__ = ["CifarResNet", "ImageShape", "Network", "Perceptron", "ViT", "WideResNet"]
