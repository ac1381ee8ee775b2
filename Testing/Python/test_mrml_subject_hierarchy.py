"""Places in the Data module's tree, kept as the application keeps them: an item for each node from the start."""

import numpy as np
import slicer

from application_scene import items_of
from strain_motions import beat, half_ellipse, stretched, tracks_of
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.mrml.strain_nodes import add_strain
from UltrasoundMotionLib.mrml.subject_hierarchy import put_in_folder
from UltrasoundMotionLib.strain import longitudinal_strain


def tree_of(scene):
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def is_folder(scene, item):
    return tree_of(scene).GetItemLevel(item) == "Folder"


def test_a_folder_is_never_a_node_of_the_same_name(scene):
    clip = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "clip")
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "clip strain")
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", "clip strain")
    folder = put_in_folder(scene, clip, [table, chart], "clip strain")
    parents = items_of(scene)
    tree = tree_of(scene)
    assert is_folder(scene, folder)
    assert tree.GetItemDataNode(folder) is None
    assert [parents[tree.GetItemByDataNode(node)] for node in (table, chart)] == [folder, folder]
    assert put_in_folder(scene, clip, [table], "clip strain") == folder  # used again, although nodes have its name


def test_the_input_itself_may_have_the_folder_s_name(scene):
    clip = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "clip motion")
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    folder = put_in_folder(scene, clip, [points], "clip motion")
    parents = items_of(scene)
    assert is_folder(scene, folder)
    assert parents[tree_of(scene).GetItemByDataNode(clip)] == tree_of(scene).GetSceneItemID()


def test_a_node_that_holds_the_input_stays_above_it(scene):
    """A user can drag the input under an output: the folder is then made above both."""
    tree = tree_of(scene)
    holder = scene.AddNewNodeByClass("vtkMRMLTableNode", "table")
    clip = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "clip")
    tree.SetItemParent(tree.GetItemByDataNode(clip), tree.GetItemByDataNode(holder))
    folder = put_in_folder(scene, clip, [holder], "results")
    parents = items_of(scene)  # no item is its own ancestor
    assert parents[tree.GetItemByDataNode(clip)] == tree.GetItemByDataNode(holder)
    assert parents[tree.GetItemByDataNode(holder)] == folder
    assert parents[folder] == tree.GetSceneItemID()


def test_a_folder_of_the_same_name_elsewhere_is_another_one(scene):
    tree = tree_of(scene)
    clip = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "clip")
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "table")
    study = tree.CreateStudyItem(tree.GetSceneItemID(), "study")
    elsewhere = tree.CreateFolderItem(tree.GetSceneItemID(), "results")
    tree.SetItemParent(tree.GetItemByDataNode(clip), study)
    folder = put_in_folder(scene, clip, [table], "results")
    assert folder != elsewhere
    assert tree.GetItemParent(folder) == study


def test_an_emptied_folder_goes_with_its_last_node(scene):
    tree = tree_of(scene)
    clip = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "clip")
    nodes = [scene.AddNewNodeByClass("vtkMRMLTableNode", "results") for _ in range(2)]
    put_in_folder(scene, clip, nodes, "results")
    for node in nodes:
        remove_node(node)
    assert tree.GetNumberOfItemChildren(tree.GetSceneItemID()) == 1


def test_strain_in_the_application_ends(scene):
    """The table, the chart and the folder of a strain result have one name."""
    tracks = tracks_of(stretched(half_ellipse(), 1 - 0.1 * beat(9, 4)[:, None] * np.ones(48)), spacing_mm=(0.5, 0.5))
    sequence = ImageSequence(np.full((9, 240, 240), 40, np.uint8), (0.5, 0.5), tracks.times_s, name="beat")
    nodes = add_strain(add_image_sequence(scene, sequence), sequence, longitudinal_strain(tracks))
    parents, tree = items_of(scene), tree_of(scene)
    folders = {parents[tree.GetItemByDataNode(node)] for node in nodes.shown_nodes()}
    assert len(folders) == 1
    assert is_folder(scene, folders.pop())
