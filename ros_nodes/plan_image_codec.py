"""The picture for people as sensor_msgs/Image and CompressedImage; it belongs to no camera's frame."""

from __future__ import annotations

from sensor_msgs.msg import CompressedImage, Image

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.ros_nodes.compressed_codec import CompressedImageCodec
from onboard_vla.ros_nodes.image_codec import ImageCodec


def to_image(message: CameraFrame) -> Image:
    """Pixels."""
    (image,) = ImageCodec(message.camera).pack(message).values()
    image.header.frame_id = ""
    return image


def to_compressed(message: CameraFrame) -> CompressedImage:
    """A JPEG file."""
    (image,) = CompressedImageCodec(message.camera).pack(message).values()
    image.header.frame_id = ""
    return image
